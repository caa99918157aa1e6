//! What the library is asked for, and what it tells.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flume::{Receiver, RecvError, Selector};
use mdns_sd::{DaemonEvent, ServiceDaemon, ServiceEvent};

use super::{MAX_TYPES, Said, bare};
use crate::{Error, What};

/// How long it is until a type is looked for that the library did not take: its queue of commands was full, or it has
/// ended the subscription since what it told was not read in time.
const RETRY: Duration = Duration::from_millis(100);

/// The thread that reads what the library tells.
pub(super) struct Searching {
    daemon: ServiceDaemon,
    searches: Vec<Subscription>,
    /// What is to be looked for, and when; in this order.
    waiting: VecDeque<(Instant, String, BTreeSet<String>)>,
    /// Types that somebody announces and the library does not look for.
    refused: BTreeSet<String>,
    sender: mpsc::SyncSender<Said>,
    wake: Box<dyn Fn() + Send>,
    told_of_too_many: bool,
}

/// A type that is looked for.
struct Subscription {
    kind: String,
    events: Receiver<ServiceEvent>,
    /// Whether it was asked for by the group.
    asked: bool,
    /// The names of the services that are there.
    there: BTreeSet<String>,
    /// Those that were there when the subscription before has ended. That one is gone may have been lost with it.
    before: BTreeSet<String>,
}

enum Step {
    Stop,
    Daemon(DaemonEvent),
    Event(usize, ServiceEvent),
    /// The library has ended a subscription, since what it told was not read in time.
    Ended(usize),
    /// It is time to look for what waits.
    Retry,
}

impl Searching {
    pub(super) fn new(
        daemon: ServiceDaemon,
        sender: mpsc::SyncSender<Said>,
        wake: Box<dyn Fn() + Send>,
    ) -> Self {
        Self {
            daemon,
            searches: Vec::new(),
            waiting: VecDeque::new(),
            refused: BTreeSet::new(),
            sender,
            wake,
            told_of_too_many: false,
        }
    }

    /// Looks for a type of which these services were there before, now or as soon as the library takes it.
    pub(super) fn begin(&mut self, kind: String, before: BTreeSet<String>) -> Result<(), Error> {
        match self.daemon.browse(&kind) {
            Ok(events) => self.searches.push(Subscription {
                kind,
                events,
                asked: false,
                there: BTreeSet::new(),
                before,
            }),
            Err(mdns_sd::Error::Again) => self.wait(kind, before),
            Err(error) => {
                let error = Error::dns_sd(format!("look for {kind}"))(error);
                self.refused.insert(kind);
                return Err(error);
            }
        }
        Ok(())
    }

    fn wait(&mut self, kind: String, before: BTreeSet<String>) {
        self.waiting
            .push_back((Instant::now() + RETRY, kind, before));
    }

    pub(super) fn run(mut self, stopped: &Receiver<()>, monitor: &Receiver<DaemonEvent>) {
        while let Some(said) = self.step(stopped, monitor) {
            for said in said {
                if self.sender.send(said).is_err() {
                    return;
                }
                (self.wake)();
            }
        }
    }

    /// Waits for what comes next. What is to be tried again has its turn, however much comes.
    fn next_step(&self, stopped: &Receiver<()>, monitor: &Receiver<DaemonEvent>) -> Step {
        let retry = self.waiting.front().map(|(at, ..)| *at);
        if retry.is_some_and(|at| at <= Instant::now()) {
            return Step::Retry;
        }
        let mut selector = Selector::new()
            .recv(stopped, |_| Step::Stop)
            .recv(monitor, |event| event.map_or(Step::Stop, Step::Daemon));
        for (index, search) in self.searches.iter().enumerate() {
            selector = selector.recv(&search.events, move |event: Result<_, RecvError>| {
                event.map_or(Step::Ended(index), |event| Step::Event(index, event))
            });
        }
        match retry {
            Some(at) => selector.wait_deadline(at).unwrap_or(Step::Retry),
            None => selector.wait(),
        }
    }

    /// Waits for what comes next; `None` when it is over.
    fn step(
        &mut self,
        stopped: &Receiver<()>,
        monitor: &Receiver<DaemonEvent>,
    ) -> Option<Vec<Said>> {
        let step = self.next_step(stopped, monitor);
        let mut said = Vec::new();
        match step {
            Step::Stop => return None,
            Step::Daemon(DaemonEvent::Error(error)) => {
                said.push(Said::Failed(format!("cannot look by DNS-SD: {error}")));
            }
            Step::Daemon(_) => {}
            Step::Event(index, event) => {
                // The library tells all that it knows at once; to wait for each by itself would take too long for it.
                let more: Vec<_> = self.searches[index].events.drain().collect();
                for event in std::iter::once(event).chain(more) {
                    self.take(index, event, &mut said);
                }
            }
            Step::Ended(index) => {
                let Subscription {
                    kind,
                    there,
                    mut before,
                    ..
                } = self.searches.swap_remove(index);
                before.extend(there);
                self.wait(kind, before);
            }
            Step::Retry => {
                if let Some((_, kind, before)) = self.waiting.pop_front() {
                    said.extend(self.begin(kind, before).err().map(failed));
                }
            }
        }
        Some(said)
    }

    fn take(&mut self, index: usize, event: ServiceEvent, said: &mut Vec<Said>) {
        let search = &mut self.searches[index];
        match event {
            ServiceEvent::SearchStarted(what) => {
                // The library says so first, then all that it knows, and again with each question to the group.
                if std::mem::replace(&mut search.asked, true) {
                    let before = std::mem::take(&mut search.before);
                    let gone = before.into_iter().filter(|it| !search.there.contains(it));
                    said.extend(gone.map(Said::Removed));
                }
                // What follows is how many interfaces there are, and which.
                let what = what.split(" on ").next().unwrap_or(&what);
                said.push(Said::Asked(bare(what).to_owned()));
            }
            ServiceEvent::ServiceFound(asked, found) if bare(&asked) == What::ALL_TYPES => {
                said.extend(self.found_type(found));
            }
            ServiceEvent::ServiceResolved(service) => {
                search.there.insert(service.fullname.clone());
                said.push(Said::Resolved(service, Instant::now()));
            }
            // A type that nobody offers any more is looked for all the same: it may come back.
            ServiceEvent::ServiceRemoved(asked, _) if bare(&asked) == What::ALL_TYPES => {}
            ServiceEvent::ServiceRemoved(_, name) => {
                search.there.remove(&name);
                said.push(Said::Removed(name));
            }
            _ => {}
        }
    }

    fn found_type(&mut self, kind: String) -> Option<Said> {
        let mut waiting = self.waiting.iter();
        let is_known = self.searches.iter().any(|it| it.kind == kind)
            || waiting.any(|(_, known, _)| *known == kind);
        if is_known || self.refused.contains(&kind) {
            return None;
        }
        if self.searches.len() + self.waiting.len() + self.refused.len() > MAX_TYPES {
            return (!std::mem::replace(&mut self.told_of_too_many, true))
                .then_some(Said::TooManyTypes);
        }
        self.begin(kind, BTreeSet::new()).err().map(failed)
    }
}

fn failed(error: Error) -> Said {
    Said::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{daemon, once_there_is_room};
    use super::*;

    fn searching() -> Searching {
        let (sender, _) = mpsc::sync_channel(1);
        let daemon = daemon(&["lo".parse().unwrap()]).unwrap();
        Searching::new(daemon, sender, Box::new(|| ()))
    }

    /// A type that cannot be looked for is told, and once: whoever announces it does so again and again.
    #[test]
    fn a_type_that_cannot_be_looked_for_is_told_once() {
        let mut searching = searching();
        let mut find = |kind: &str| match searching.found_type(kind.to_owned()) {
            Some(Said::Failed(why)) => Some(why),
            Some(Said::TooManyTypes) => Some("too many".to_owned()),
            _ => None,
        };
        let why = find("_http._tcp.example.").expect("it is told");
        assert!(
            why.starts_with("cannot look for _http._tcp.example"),
            "{why}"
        );
        assert_eq!(find("_http._tcp.example."), None);
        assert_eq!(find("_http._tcp.local."), None);
        // They count as those that are looked for, so that they fill no memory.
        let told: Vec<_> = (0..1_000)
            .filter_map(|number| find(&format!("_x{number}.example.")))
            .collect();
        assert_eq!(told.last().map(String::as_str), Some("too many"));
        assert_eq!(told.len(), MAX_TYPES);
        searching.daemon.shutdown().unwrap();
    }

    /// The library takes 100 commands at once.
    #[test]
    fn a_type_that_the_library_has_no_room_for_is_looked_for_later() {
        let mut searching = searching();
        let kinds: Vec<_> = (0..200).map(|it| format!("_x{it}._tcp.local.")).collect();
        for kind in &kinds {
            while searching.daemon.get_metrics().is_ok() {}
            assert!(searching.found_type(kind.clone()).is_none());
        }
        assert!(!searching.waiting.is_empty());
        let ((_running, stopped), (_daemon, monitor)) = (flume::bounded(0), flume::bounded(0));
        while searching.searches.len() < kinds.len() {
            searching.step(&stopped, &monitor).unwrap();
        }
        assert!(searching.refused.is_empty() && searching.waiting.is_empty());
        // The queue is full of these.
        once_there_is_room(|| searching.daemon.shutdown()).unwrap();
    }

    /// That a service is gone is lost where it does not fit into the library's channel any more.
    #[test]
    fn what_went_while_nobody_listened_is_gone() {
        let mut searching = searching();
        let (telling, events) = flume::bounded(1);
        searching.searches.push(Subscription {
            kind: "_http._tcp.local.".to_owned(),
            events,
            asked: true,
            there: ["Web._http._tcp.local.".to_owned()].into(),
            before: BTreeSet::new(),
        });
        drop(telling);
        let ((_running, stopped), (_daemon, monitor)) = (flume::bounded(0), flume::bounded(0));
        let (mut asked, mut gone) = (0, Vec::new());
        while asked < 2 {
            for said in searching.step(&stopped, &monitor).unwrap() {
                match said {
                    Said::Asked(_) => asked += 1,
                    Said::Removed(name) => gone.push(name),
                    _ => {}
                }
            }
        }
        assert_eq!(gone, ["Web._http._tcp.local."]);
        assert!(searching.searches[0].before.is_empty());
        searching.daemon.shutdown().unwrap();
    }
}
