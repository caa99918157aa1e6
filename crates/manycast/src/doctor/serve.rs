//! The far end: sends and counts for a doctor on another host.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use manycast_net::{SocketConfig, Stopper};
use manycast_proto::probe::{Key, Order, Server, ServerConfig, ServerEvent};
use manycast_types::{Address, Group, InterfaceSelector, Transmit};

use crate::endpoint::Endpoint;
use crate::{Driver, Error, Sender, SenderConfig, resolve};

/// Serves doctors on other hosts: joins the groups that they ask for, counts what comes, and sends
/// to them and to these groups, and nowhere else.
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
}

/// The time between two datagrams of a round: a queue on the way must not decide the outcome.
pub(super) const PACE: Duration = Duration::from_millis(2);

impl Doorman {
    /// Opens the port to be asked on, `:PORT` or `ADDRESS:PORT`.
    ///
    /// # Errors
    ///
    /// The port is in use, or the address is none of this host.
    pub fn open(address: &Address, key: Option<Key>) -> Result<Self, Error> {
        let endpoint = Endpoint::listen(std::slice::from_ref(address), SocketConfig::default())?;
        let config = ServerConfig {
            key,
            ..ServerConfig::default()
        };
        Ok(Self {
            driver: Driver::new(endpoint, Server::new(config, resolve::seed())),
        })
    }

    /// Serves until there is something to tell; `None` when it was stopped.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not fail")]
    pub fn next(&mut self) -> Result<Option<Served>, Error> {
        let Some(event) = self.driver.next_event(None)? else {
            return Ok(None);
        };
        let endpoint = self.driver.endpoint_mut();
        Ok(Some(match event {
            ServerEvent::Join { client, group } => Served::Joined {
                failure: endpoint
                    .join(Group::new(group.ip()), group.port())
                    .err()
                    .map(|error| error.to_string()),
                client,
                group,
            },
            ServerEvent::Leave { group } => {
                endpoint.leave(&Group::new(group.ip()), group.port())?;
                Served::Left { group }
            }
            ServerEvent::Send(order) => {
                let result = send(&order, endpoint);
                self.driver.protocol_mut().sent(&order, result.is_ok());
                Served::Sent {
                    client: order.client,
                    to: order.to,
                    count: order.burst.count,
                    failure: result.err().map(|error| error.to_string()),
                }
            }
        }))
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
        for index in 0..burst.count {
            endpoint.send(&[Transmit::new(order.to, order.datagram(index))], true)?;
            thread::sleep(PACE);
        }
        return Ok(());
    }
    let mut address = Address::from(order.to);
    if !burst.by_route {
        address = address.on(InterfaceSelector::Index(order.interface));
    }
    let sender = to_group(address, burst.hops)?;
    for index in 0..burst.count {
        sender.send(order.datagram(index))?;
        thread::sleep(PACE);
    }
    Ok(())
}

/// A sender with this hop limit.
pub(super) fn to_group(address: Address, hops: u8) -> Result<Sender, Error> {
    let config = SenderConfig {
        socket: SocketConfig {
            multicast_hops: hops,
            ..SocketConfig::default()
        },
        ..SenderConfig::default()
    };
    Sender::open(address, config)
}
