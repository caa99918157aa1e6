//! Asking a host or a group, and gathering the answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use manycast_net::{Operation, SocketConfig, errno};
use manycast_proto::ask::{Answer, Client, ClientConfig, ClientEvent, Responders};
use manycast_types::{Address, Host, MAX_PAYLOAD};

use crate::egress::Egress;
use crate::endpoint::{Endpoint, unspecified};
use crate::tentative::patiently;
use crate::{Driver, Error, IntoAddress, Next, resolve};

/// How patiently to ask.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AskConfig {
    /// How long answers to the first question are waited for; 1 s by default. Each retry waits
    /// twice as long as the one before.
    pub timeout: Duration,
    /// How often to ask again while answers are wanting; not at all by default.
    pub retries: u32,
    /// How many answers are enough; `None`: one of a host, all of a group.
    pub answers: Option<usize>,
    /// Hop limit, loopback and buffers. The interface is part of the [`Address`].
    pub socket: SocketConfig,
}

impl Default for AskConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            retries: 0,
            answers: None,
            socket: SocketConfig::default(),
        }
    }
}

impl AskConfig {
    /// Sets how long answers to the first question are waited for.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how often to ask again while answers are wanting.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets how many answers are enough.
    #[must_use]
    pub const fn answers(mut self, answers: Option<usize>) -> Self {
        self.answers = answers;
        self
    }

    /// Sets hop limit, loopback and buffers.
    #[must_use]
    pub fn socket(mut self, socket: SocketConfig) -> Self {
        self.socket = socket;
        self
    }
}

/// Sends a question and gathers the answers: of a host the first, of a group all that come within
/// the time-out. No answer is an empty list. An IPv6 address of this host that is tentative is waited
/// for, at most three seconds.
///
/// ```
/// use manycast::{AskConfig, Socket};
///
/// let mut server = Socket::bind("127.0.0.1:0")?;
/// let address = server.local_addr()?;
/// std::thread::spawn(move || {
///     let reply = server.recv()?.reply();
///     server.answer(reply, "OK...hello")
/// });
///
/// let answers = manycast::ask(address, "hello", &AskConfig::default())?;
/// assert_eq!(answers[0].datagram.payload, "OK...hello");
/// println!("{} answered after {:?}", answers[0].datagram.source, answers[0].round_trip);
/// # Ok::<(), manycast::Error>(())
/// ```
///
/// # Errors
///
/// * [`Error::ConnectionRefused`]: nobody listens on that port of that host.
/// * [`Error::Network`]: this host did not send the question; its firewall forbids it, say.
/// * [`MessageTooLong`](crate::ErrorKind::MessageTooLong): the question is longer than a datagram can be.
/// * Those of [`Sender::open`](crate::Sender::open).
pub fn ask(
    address: impl IntoAddress,
    payload: impl AsRef<[u8]>,
    config: &AskConfig,
) -> Result<Vec<Answer>, Error> {
    let mut asker = asker(address, payload, config)?;
    let mut answers = Vec::new();
    while let Next::Event(event) = asker.next_event(None)? {
        answers.extend(answer(event)?);
    }
    Ok(answers)
}

/// As [`ask`], but each event as it comes, answers among them; and the protocol's statistics.
///
/// # Errors
///
/// Those of [`Sender::open`](crate::Sender::open).
pub fn asker(
    address: impl IntoAddress,
    payload: impl AsRef<[u8]>,
    config: &AskConfig,
) -> Result<Driver<Client>, Error> {
    let address = address.into_address()?;
    patiently(|| asker_at_once(&address, payload.as_ref(), config))
}

/// As [`asker`], but an address that is tentative is an error.
#[doc(hidden)]
pub fn asker_at_once(
    address: &Address,
    payload: &[u8],
    config: &AskConfig,
) -> Result<Driver<Client>, Error> {
    let (endpoint, client) = parts(address, payload, config)?;
    Ok(Driver::new(endpoint, client))
}

/// A socket that is not connected, since the answers of a group come from its members; and the
/// protocol.
pub(crate) fn parts(
    address: &Address,
    payload: &[u8],
    config: &AskConfig,
) -> Result<(Endpoint, Client), Error> {
    if *address.host() == Host::Any || address.port() == 0 {
        return Err(Error::unsuitable(
            address,
            "it names nobody to ask; write HOST:PORT",
        ));
    }
    let Some(destination) = resolve::socket_addrs(address)?.into_iter().next() else {
        return Err(Error::unsuitable(address, "its name has no address"));
    };
    let egress = Egress::to(destination, address.interface(), None)?;
    let destination = egress.destination;
    // The kernel would refuse it each time that it is asked.
    if payload.len() > MAX_PAYLOAD {
        let error = manycast_net::Error::from_errno(Operation::Send, destination, errno::EMSGSIZE);
        return Err(error.into());
    }
    let any = SocketAddr::new(unspecified(destination.is_ipv4()), 0);
    let endpoint = Endpoint::listen(&[any.into()], egress.set_up(&config.socket))?;
    let mut client = ClientConfig {
        timeout: config.timeout,
        retries: config.retries,
        ..ClientConfig::new(destination, Bytes::copy_from_slice(payload))
    };
    if egress.is_broadcast {
        // The broadcast address of one network looks like a host's.
        (client.responders, client.answers) = (Responders::Anyone, None);
    }
    client.answers = config.answers.or(client.answers);
    Ok((endpoint, Client::new(client, resolve::seed())))
}

/// The answer that an event tells of, if it does.
pub(crate) fn answer(event: ClientEvent) -> Result<Option<Answer>, Error> {
    match event {
        ClientEvent::Answer(answer) => Ok(Some(answer)),
        ClientEvent::Refused { peer } => Err(Error::ConnectionRefused { peer }),
        ClientEvent::NotSent(error) => Err(error.into()),
        _ => Ok(None),
    }
}
