//! The far end: sends and counts for a doctor on another host, and examines its own for it.

mod inquiry;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use manycast_net::{ErrorKind, Stopper};
use manycast_proto::probe::{self, Inquiry, Key, ServerConfig, ServerEvent};
use manycast_types::{Group, NetworkError};

use super::{Code, Report, far};
use inquiry::{Agreed, Examination, Watch};
use manycast_io::{Commands, Driver, Error, IntoAddress, Next, Socket, seed};

/// Serves doctors on other hosts: joins the groups that they ask for, counts what comes, sends to
/// them and to these groups, and nowhere else, and examines this host where they ask why nothing
/// comes.
///
/// ```no_run
/// use manycast::Next;
/// use manycast::doctor::{DEFAULT_PORT, Key, Server};
///
/// let mut server = Server::open(format!(":{DEFAULT_PORT}"), Some(Key::new("secret")))?;
/// while let Next::Event(served) = server.next_event(None)? {
///     println!("{served:?}");
/// }
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    driver: Driver<probe::Server>,
    /// By which examinations give what they have found.
    commands: Commands<probe::Server>,
    /// By which they say how they ended.
    ended: (mpsc::Sender<Served>, mpsc::Receiver<Served>),
    /// The groups that somebody asks about.
    agreed: Vec<Agreed>,
    /// For whom counters are watched, the newest last.
    watches: Vec<Watch>,
    /// Examinations that go on once their group is left for a while.
    waiting: Vec<(Inquiry, Examination)>,
    /// For which examinations groups are left, and who wants something counted of those groups once
    /// they are joined again.
    suspended: Vec<Inquiry>,
    delayed: Vec<Inquiry>,
    /// What is to be told.
    served: VecDeque<Served>,
}

/// What a [`Server`] did for somebody.
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

impl Server {
    /// Opens the port to be asked on, `:PORT` or `ADDRESS:PORT`.
    ///
    /// # Errors
    ///
    /// The port is in use, or the address is none of this host.
    pub fn open(address: impl IntoAddress, key: Option<Key>) -> Result<Self, Error> {
        let socket = Socket::bind(address)?;
        let config = ServerConfig {
            key,
            ..ServerConfig::default()
        };
        let mut driver = Driver::new(socket, probe::Server::new(config, seed()));
        Ok(Self {
            commands: driver.commands()?,
            driver,
            ended: mpsc::channel(),
            agreed: Vec::new(),
            watches: Vec::new(),
            waiting: Vec::new(),
            suspended: Vec::new(),
            delayed: Vec::new(),
            served: VecDeque::new(),
        })
    }

    /// Serves until there is something to tell, or `timeout` is over (`None`: for ever);
    /// [`Next::Finished`] when it was stopped.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Next<Served>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(served) = self.served.pop_front() {
                return Ok(Next::Event(served));
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match self.driver.next_event(left)? {
                Next::Event(event) => self.serve(event)?,
                Next::TimedOut => return Ok(Next::TimedOut),
                Next::Finished => return Ok(Next::Finished),
            }
        }
    }

    /// Takes in what the protocol tells and asks.
    fn serve(&mut self, event: ServerEvent) -> Result<(), Error> {
        match event {
            ServerEvent::Agreed { group, sources, .. } => {
                let index = self.agree(group)?;
                let mut wanted = Group::new(group.ip());
                if !sources.is_empty() {
                    wanted = wanted.with_sources(sources);
                }
                self.agreed[index].wanted = wanted;
            }
            ServerEvent::Joined {
                client,
                group,
                error,
            } => {
                let failure = error.as_ref().map(ToString::to_string);
                if let Some(agreed) = self.agreed.iter_mut().find(|it| it.group == group) {
                    agreed.set_obstacle(error);
                }
                self.served.push_back(Served::Joined {
                    client,
                    group,
                    failure,
                });
            }
            ServerEvent::Left { group } => {
                self.agreed.retain(|agreed| agreed.group != group);
                self.watches.retain(|watch| watch.group != group);
                self.served.push_back(Served::Left { group });
            }
            ServerEvent::Sent {
                client,
                to,
                count,
                error,
            } => {
                let sent = self.sent(client, to, count, error);
                self.served.push_back(sent);
            }
            // What is counted while the group is left would not come.
            ServerEvent::Watch(inquiry) if self.is_suspended(inquiry.group) => {
                self.delayed.retain(|it| it.client != inquiry.client);
                self.delayed.push(inquiry);
            }
            ServerEvent::Watch(inquiry) => self.watch(&inquiry)?,
            ServerEvent::Examine {
                inquiry,
                sent,
                arrivals,
            } => {
                let index = self.agree(inquiry.group)?;
                let watch = Watch::end(&mut self.watches, &inquiry).filter(|_| sent > 0);
                let endpoint = self.driver.endpoint();
                match self.agreed[index].look(endpoint, watch, sent, arrivals) {
                    // Where others ask about the group, it is not left, and the firewall not tried.
                    Ok(examination)
                        if examination.is_to_test()
                            && self.driver.protocol_mut().suspend(&inquiry) =>
                    {
                        self.suspended.push(inquiry.clone());
                        self.waiting.push((inquiry, examination));
                    }
                    Ok(examination) => self.conclude(inquiry, examination, false),
                    Err(error) => self.examined(&inquiry, Err(error)),
                }
            }
            ServerEvent::Suspended(inquiry) => {
                let index = self.waiting.iter().position(|(of, _)| *of == inquiry);
                if let Some(index) = index {
                    let (inquiry, examination) = self.waiting.swap_remove(index);
                    self.conclude(inquiry, examination, true);
                }
            }
            ServerEvent::Examined(inquiry) => {
                let ended = self.ended.1.try_iter();
                self.served.extend(ended);
                self.suspended.retain(|it| *it != inquiry);
                if !self.is_suspended(inquiry.group) {
                    let delayed = std::mem::take(&mut self.delayed).into_iter();
                    let (now, later): (Vec<_>, Vec<_>) =
                        delayed.partition(|it| it.group == inquiry.group);
                    self.delayed = later;
                    for inquiry in &now {
                        self.watch(inquiry)?;
                    }
                }
            }
            event => tracing::warn!(?event, "a question that this version does not know"),
        }
        Ok(())
    }

    fn is_suspended(&self, group: SocketAddr) -> bool {
        self.suspended.iter().any(|it| it.group == group)
    }

    /// Has the counters of this host watched for a client.
    fn watch(&mut self, inquiry: &Inquiry) -> Result<(), Error> {
        Watch::begin(&mut self.watches, inquiry)?;
        self.driver.protocol_mut().watching(inquiry);
        self.served.push_back(Served::Watched {
            client: inquiry.client,
            group: inquiry.group,
        });
        Ok(())
    }

    /// Draws the conclusions of an examination, on a thread of its own: it takes a while, and others
    /// are served meanwhile.
    fn conclude(&mut self, inquiry: Inquiry, mut examination: Examination, tests: bool) {
        let agreed = self.agreed.iter().find(|it| it.group == inquiry.group);
        // Where who asked has gone meanwhile, nobody is there to be told.
        let Some(agreed) = agreed.cloned() else {
            let nothing = probe::Report::default();
            self.driver.protocol_mut().examined(&inquiry, &nothing);
            return;
        };
        let (commands, ended) = (self.commands.clone(), self.ended.0.clone());
        let run = {
            let inquiry = inquiry.clone();
            move || {
                let report = or_panicked(|| {
                    if tests {
                        examination.test();
                    }
                    agreed.conclude(examination, &inquiry)
                });
                let (told, served) = outcome(&inquiry, report);
                // The receiver lives as long as the driver.
                let _ = ended.send(served);
                commands.give(move |server, _| server.examined(&inquiry, &told));
            }
        };
        let spawned = thread::Builder::new().name("examination".into()).spawn(run);
        if let Err(error) = spawned {
            let error = NetworkError::new(ErrorKind::LimitReached, error.to_string());
            self.examined(&inquiry, Err(error.into()));
        }
    }

    /// Gives the protocol what this host has found on itself at once.
    fn examined(&mut self, inquiry: &Inquiry, report: Result<Report, Error>) {
        let (told, served) = outcome(inquiry, report);
        self.driver.protocol_mut().examined(inquiry, &told);
        self.served.push_back(served);
    }

    /// Keeps in mind whether this host can send to a group, and says what was sent.
    fn sent(
        &mut self,
        client: SocketAddr,
        to: SocketAddr,
        count: u8,
        error: Option<NetworkError>,
    ) -> Served {
        // That it does not have an address is an answer, and no failure.
        let is_answer = |error: &NetworkError| error.kind == ErrorKind::AddressNotAvailable;
        if error.as_ref().is_some_and(is_answer) {
            return Served::Sent {
                client,
                to,
                count: 0,
                failure: None,
            };
        }
        let failure = error.as_ref().map(ToString::to_string);
        if let Some(agreed) = self.agreed.iter_mut().find(|it| it.group == to) {
            agreed.refused = error;
        }
        Served::Sent {
            client,
            to,
            count,
            failure,
        }
    }

    /// What is known of a group that somebody asks about; it begins with the first.
    fn agree(&mut self, group: SocketAddr) -> Result<usize, Error> {
        let known = self.agreed.iter().position(|known| known.group == group);
        if let Some(index) = known {
            return Ok(index);
        }
        self.agreed.push(Agreed::begin(group)?);
        Ok(self.agreed.len() - 1)
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

/// What an examination finds, or that it has panicked: whoever asked is answered in any case, and the
/// group is joined again.
fn or_panicked(examine: impl FnOnce() -> Result<Report, Error>) -> Result<Report, Error> {
    // What the examination has left unfinished is dropped with it.
    catch_unwind(AssertUnwindSafe(examine)).unwrap_or_else(|_| {
        let text = "cannot examine this host: the examination panicked; report it as a defect, with \
                    what was printed on standard error";
        Err(NetworkError::new(ErrorKind::Other, text).into())
    })
}

/// What an examination has found, in the words of the wire, and how it ended.
fn outcome(inquiry: &Inquiry, report: Result<Report, Error>) -> (probe::Report, Served) {
    let (told, verdict, failure) = match report {
        Ok(report) => (far::to_wire(&report), report.verdict(), None),
        // Nothing is known of this host, and the other end goes on without it.
        Err(error) => (
            probe::Report::default(),
            Code::Delivered,
            Some(error.to_string()),
        ),
    };
    let served = Served::Examined {
        client: inquiry.client,
        group: inquiry.group,
        verdict,
        failure,
    };
    (told, served)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_examination_that_panics_is_an_answer() {
        let error = or_panicked(|| panic!("of a defect")).unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
    }

    #[test]
    fn a_time_out_and_a_stop_are_told_apart() {
        let mut server = Server::open("127.0.0.1:0", None).unwrap();
        let briefly = Some(Duration::from_millis(1));
        assert_eq!(server.next_event(briefly).unwrap(), Next::TimedOut);
        server.stopper().unwrap().stop();
        assert_eq!(server.next_event(None).unwrap(), Next::Finished);
    }
}
