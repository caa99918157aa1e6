//! Who asks for memberships on the wire, and whether this host answers.

use std::net::IpAddr;
use std::time::Duration;

use super::MOST;

/// A querier, as it is heard by one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Querier {
    /// Its address.
    pub source: IpAddr,
    /// The version of IGMP or MLD that it speaks.
    pub version: u8,
    /// The index of the interface.
    pub interface: u32,
    /// How often it asked.
    pub asked: u64,
    /// When it asked last, from the beginning of the capture.
    pub last: Duration,
    /// How often it asked for the group, and no report left by the interface in the time that it gave.
    pub unanswered: u64,
    /// When the last report left by the interface in that time.
    pub answered: Option<Duration>,
    /// Until when a report may leave that answers it.
    due: Option<Duration>,
}

/// How much later than it should be a report may leave on a host that is busy.
const LATE: Duration = Duration::from_secs(1);

impl Querier {
    /// One that asked so often, to which nothing else is known.
    #[cfg(test)]
    pub(crate) fn new(source: IpAddr, version: u8, interface: u32, asked: u64) -> Self {
        Self {
            source,
            version,
            interface,
            asked,
            last: Duration::ZERO,
            unanswered: 0,
            answered: None,
            due: None,
        }
    }
}

/// A querier asks, and where it asks for the group, who is a member answers within so long.
pub(super) fn ask(
    queriers: &mut Vec<Querier>,
    of: (IpAddr, u8, u32),
    within: Option<Duration>,
    at: Duration,
) {
    expire(queriers, at);
    let due = within.map(|within| at + within + LATE);
    let is_it = |known: &&mut Querier| (known.source, known.version, known.interface) == of;
    if let Some(known) = queriers.iter_mut().find(is_it) {
        known.asked += 1;
        known.last = at;
        // One report answers all that was asked before it.
        known.due = known.due.or(due);
    } else if queriers.len() < MOST {
        let (source, version, interface) = of;
        queriers.push(Querier {
            source,
            version,
            interface,
            asked: 1,
            last: at,
            unanswered: 0,
            answered: None,
            due,
        });
    }
}

/// A report leaves by an interface, or that of another member makes it needless.
pub(super) fn answer(queriers: &mut [Querier], interface: u32, at: Duration) {
    expire(queriers, at);
    let asking = queriers.iter_mut();
    for querier in asking.filter(|querier| querier.interface == interface) {
        if querier.due.take().is_some() {
            querier.answered = Some(at);
        }
    }
}

/// What was to be answered by now has not been.
pub(super) fn expire(queriers: &mut [Querier], now: Duration) {
    for querier in queriers {
        if querier.due.take_if(|due| *due < now).is_some() {
            querier.unanswered += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_unanswered_once_its_time_is_over() {
        let second = Duration::from_secs;
        let of = ([10, 0, 0, 1].into(), 3, 2);
        let mut queriers = Vec::new();
        ask(&mut queriers, of, Some(second(1)), second(0));
        ask(&mut queriers, of, Some(second(1)), second(1));
        // What leaves by another interface is no answer.
        answer(&mut queriers, 3, second(1));
        let told = |queriers: &[Querier]| (queriers[0].unanswered, queriers[0].answered);
        assert_eq!(told(&queriers), (0, None));
        answer(&mut queriers, 2, second(2));
        assert_eq!(told(&queriers), (0, Some(second(2))));
        ask(&mut queriers, of, Some(second(1)), second(3));
        // Nor is it one to a query of another group.
        ask(&mut queriers, of, None, second(4));
        expire(&mut queriers, second(5));
        assert_eq!(told(&queriers), (0, Some(second(2))));
        expire(&mut queriers, second(6));
        assert_eq!(told(&queriers), (1, Some(second(2))));
        assert_eq!((queriers.len(), queriers[0].asked), (1, 4));
    }
}
