//! The far end: sends and counts for a doctor on another host, and examines its own for it.

mod inquiry;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use manycast_net::{ErrorKind, SocketConfig, Stopper};
use manycast_proto::probe::{Key, Order, Refusal, Server, ServerConfig, ServerEvent};
use manycast_types::{Address, Group, InterfaceSelector, Transmit};

use super::{Code, far};
use inquiry::{Attended, Watch};
use manycast_io::{Driver, Endpoint, Error, Next, Sender, SenderConfig, Socket, seed};

/// Serves doctors on other hosts: joins the groups that they ask for, counts what comes, sends to
/// them and to these groups, and nowhere else, and examines this host where they ask why nothing
/// comes.
///
/// ```no_run
/// use manycast::doctor::{DEFAULT_PORT, Doorman, Key};
///
/// let mut doorman = Doorman::open(&format!(":{DEFAULT_PORT}").parse()?, Some(Key::new("secret")))?;
/// while let Some(served) = doorman.next()? {
///     println!("{served:?}");
/// }
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Debug)]
pub struct Doorman {
    driver: Driver<Server>,
    /// The groups that are joined for somebody.
    attended: Vec<Attended>,
    /// For whom counters are watched, the newest last.
    watches: Vec<Watch>,
}

/// What a [`Doorman`] did for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Served {
    /// Joined a group, or could not: then with the reason.
    Joined {
        /// Who asked.
        client: SocketAddr,
        /// The group and port.
        group: SocketAddr,
        /// Why it could not be joined.
        failure: Option<String>,
    },
    /// Left a group that nobody asks about any more.
    Left {
        /// The group and port.
        group: SocketAddr,
    },
    /// Sent datagrams, or could not: then with the reason.
    Sent {
        /// Who asked.
        client: SocketAddr,
        /// Where to.
        to: SocketAddr,
        /// How many.
        count: u8,
        /// Why they could not be sent.
        failure: Option<String>,
    },
    /// Began to watch the counters of this host.
    Watched {
        /// Who asked.
        client: SocketAddr,
        /// The group and port.
        group: SocketAddr,
    },
    /// Examined this host.
    Examined {
        /// Who asked.
        client: SocketAddr,
        /// The group and port.
        group: SocketAddr,
        /// The most important fault, or [`Code::Delivered`].
        verdict: Code,
        /// Why it could not be examined.
        failure: Option<String>,
    },
}

/// The time between two datagrams of a round: a queue on the way must not decide the outcome.
const PACE: Duration = Duration::from_millis(2);

impl Doorman {
    /// Opens the port to be asked on, `:PORT` or `ADDRESS:PORT`.
    ///
    /// # Errors
    ///
    /// The port is in use, or the address is none of this host.
    pub fn open(address: &Address, key: Option<Key>) -> Result<Self, Error> {
        let socket = Socket::bind(address.clone())?;
        let config = ServerConfig {
            key,
            ..ServerConfig::default()
        };
        Ok(Self {
            driver: Driver::new(socket, Server::new(config, seed())),
            attended: Vec::new(),
            watches: Vec::new(),
        })
    }

    /// Serves until there is something to tell; `None` when it was stopped.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not fail")]
    pub fn next(&mut self) -> Result<Option<Served>, Error> {
        let Next::Event(event) = self.driver.next_event(None)? else {
            return Ok(None);
        };
        let served = match event {
            ServerEvent::Join {
                client,
                group,
                sources,
            } => {
                let index = self.attend(group)?;
                let mut wanted = Group::new(group.ip());
                if !sources.is_empty() {
                    wanted = wanted.with_sources(sources);
                }
                Served::Joined {
                    failure: self.attended[index].join(self.driver.endpoint_mut(), wanted),
                    client,
                    group,
                }
            }
            ServerEvent::Leave { group } => {
                self.attended.retain(|attended| attended.group != group);
                self.watches.retain(|watch| watch.group != group);
                let endpoint = self.driver.endpoint_mut();
                endpoint.leave(&Group::new(group.ip()), group.port())?;
                Served::Left { group }
            }
            ServerEvent::Send(order) => {
                let result = send(&order, self.driver.endpoint_mut());
                let refusal = result.as_ref().err().map(|error| match error.kind() {
                    ErrorKind::AddressNotAvailable => Refusal::Source,
                    _ => Refusal::CannotSend,
                });
                let answer = refusal.map_or(Ok(()), Err);
                self.driver.protocol_mut().sent(&order, answer);
                // That it does not have an address is an answer.
                let is_answer = refusal == Some(Refusal::Source);
                let result = result
                    .or_else(|error| if is_answer { Ok(()) } else { Err(error) })
                    .map_err(|error| (error.kind(), error.to_string()));
                let attended = self.attended.iter_mut();
                if let Some(attended) = attended.into_iter().find(|found| found.group == order.to)
                    && !is_answer
                {
                    attended.refused = result.as_ref().err().cloned();
                }
                Served::Sent {
                    client: order.client,
                    to: order.to,
                    count: if is_answer { 0 } else { order.burst.count },
                    failure: result.err().map(|(_, text)| text),
                }
            }
            ServerEvent::Watch(inquiry) => {
                Watch::begin(&mut self.watches, &inquiry)?;
                self.driver.protocol_mut().watching(&inquiry);
                Served::Watched {
                    client: inquiry.client,
                    group: inquiry.group,
                }
            }
            ServerEvent::Examine {
                inquiry,
                sent,
                arrivals,
            } => {
                let index = self.attend(inquiry.group)?;
                let watch = Watch::end(&mut self.watches, &inquiry);
                let alone = self
                    .watches
                    .iter()
                    .all(|other| other.group != inquiry.group);
                let attended = &self.attended[index];
                let result = attended.examine(
                    self.driver.endpoint_mut(),
                    &inquiry,
                    watch.filter(|_| sent > 0),
                    alone,
                    (sent, arrivals),
                );
                let (verdict, failure) = match result {
                    Ok(report) => {
                        let told = far::tell(&report);
                        self.driver.protocol_mut().examined(&inquiry, &told);
                        (report.verdict(), None)
                    }
                    Err(error) => {
                        // Nothing is known of this host, and the other end goes on without it.
                        let nothing = manycast_proto::probe::Report::default();
                        self.driver.protocol_mut().examined(&inquiry, &nothing);
                        (Code::Delivered, Some(error.to_string()))
                    }
                };
                Served::Examined {
                    client: inquiry.client,
                    group: inquiry.group,
                    verdict,
                    failure,
                }
            }
        };
        Ok(Some(served))
    }

    /// What is known of a group that somebody asks about; it begins with the first.
    fn attend(&mut self, group: SocketAddr) -> Result<usize, Error> {
        let known = self.attended.iter().position(|known| known.group == group);
        if let Some(index) = known {
            return Ok(index);
        }
        self.attended.push(Attended::begin(group)?);
        Ok(self.attended.len() - 1)
    }

    /// Something that ends it from another thread.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.driver.stopper()
    }
}

/// Sends what was ordered: to the client from the port that it asked, to a group as other programs
/// of this host would.
fn send(order: &Order, endpoint: &Endpoint) -> Result<(), Error> {
    let burst = order.burst;
    if !burst.to_group {
        return paced(burst.count, |index| {
            let transmit = Transmit::new(order.to, order.datagram(index));
            endpoint.send(&[transmit], true).map(drop)
        });
    }
    let mut address = Address::from(order.to);
    if !burst.by_route {
        address = address.on(InterfaceSelector::Index(order.interface));
    }
    let from = burst.source.map(|source| SocketAddr::new(source, 0));
    let sender = to_group(address, burst.hops, from)?;
    paced(burst.count, |index| {
        sender.send(order.datagram(index)).map(drop)
    })
}

/// Sends so many datagrams with [`PACE`] between them, until one fails. A host that is short of
/// time makes up for what it is late, so that nobody waits for it in vain.
pub(super) fn paced(count: u8, mut send: impl FnMut(u8) -> Result<(), Error>) -> Result<(), Error> {
    let began = Instant::now();
    for index in 0..count {
        send(index)?;
        let due = PACE * (u32::from(index) + 1);
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
    Ok(())
}

/// A sender with this hop limit, from this address or from what the route says.
pub(super) fn to_group(
    address: Address,
    hops: u8,
    from: Option<SocketAddr>,
) -> Result<Sender, Error> {
    let mut config = SenderConfig::default().socket(SocketConfig::default().multicast_hops(hops));
    config.from = from.map(Address::from);
    Sender::open(address, config)
}
