//! The sockets behind a listener, a socket or a driver: opened, waited for and healed together.

mod membership;
mod receive;
mod send;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use manycast_net::{
    BufferSize, Change, ErrorKind, Poller, Position, RecvBatch, Socket, SocketConfig, Stopper,
    Token, Unreachable, Watch,
};
use manycast_types::{Address, Host, InterfaceSelector, Membership, SourceFilter};

use crate::way::Way;
use crate::{Error, resolve};
use membership::{Joined, Wanted};
#[cfg(feature = "tokio")]
pub(crate) use receive::Look;

const WATCH: Token = Token::MAX;
const STOP: Token = Token::MAX - 1;

/// One or more sockets that act as one: those of both versions of IP, of several ports, of more
/// groups than the kernel allows on one socket.
///
/// A [`Listener`](crate::Listener) and a [`Socket`](crate::Socket) each have one behind them, and
/// turn into it for a [`Driver`](crate::Driver).
#[derive(Debug)]
pub struct Endpoint {
    /// A slot that is empty belonged to a socket that is closed; its token may be given anew.
    ports: Vec<Option<Port>>,
    config: SocketConfig,
    poller: Poller,
    /// Whether the poller knows the sockets. One that is waited for by the receiving call itself
    /// need not be known, and each datagram then wakes one waiter and not two.
    polled: AtomicBool,
    ready: Vec<Token>,
    stopper: Option<Stopper>,
    stopped: bool,
    /// There once a group is wanted: only memberships need to heal.
    watch: Option<Watch>,
    /// Whether interfaces changed, and the memberships could not follow yet.
    unhealed: bool,
    wanted: Vec<Wanted>,
    joined: Vec<Joined>,
    news: VecDeque<News>,
    batch: RecvBatch,
    /// The next datagram of `batch` to hand out, and the port that it came from.
    next: Position,
    current: usize,
    /// Whether that datagram is there and was asked for, as far as was looked.
    admitted: bool,
    /// How often that port may still be received from before the poller is asked again.
    eager: u32,
    /// When the kernel received the batch before.
    came: Option<SystemTime>,
}

/// A socket and what it was bound for.
#[derive(Debug)]
struct Port {
    socket: Socket,
    local: SocketAddr,
    groups: Vec<PortGroup>,
}

/// A group that a socket has joined on an interface.
#[derive(Debug)]
struct PortGroup {
    address: IpAddr,
    interface: u32,
    sources: SourceFilter,
}

impl PortGroup {
    fn is(&self, address: IpAddr, interface: u32) -> bool {
        self.address == address && self.interface == interface
    }
}

/// What happened beside datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Joined(Membership),
    Left(Membership),
    Unreachable(Unreachable),
}

impl News {
    /// The peer that refused a datagram, if it is news of that.
    const fn refusal(&self) -> Option<SocketAddr> {
        match self {
            Self::Unreachable(unreachable) if unreachable.is_refused() => Some(unreachable.peer),
            _ => None,
        }
    }
}

/// News that nobody asks for is forgotten beyond this.
const MAX_NEWS: usize = 1024;

impl Endpoint {
    /// Listens on all `addresses`; for groups, on every interface that they do not rule out.
    pub(crate) fn listen(addresses: &[Address], config: SocketConfig) -> Result<Self, Error> {
        if addresses.is_empty() {
            return Err(Error::unsuitable(
                "an empty list",
                "there is nothing to listen on; give one address at least",
            ));
        }
        let mut endpoint = Self::new(config)?;
        for address in addresses {
            match address.group() {
                Some(group) => endpoint.want(group, address.port())?,
                None => endpoint.bind(address)?,
            }
        }
        endpoint.join_wanted()?;
        Ok(endpoint)
    }

    /// A socket that only `peer` can send to.
    pub(crate) fn connect(peer: &Address, config: SocketConfig) -> Result<Self, Error> {
        if *peer.host() == Host::Any || peer.port() == 0 {
            return Err(Error::unsuitable(peer, "it names no peer; write HOST:PORT"));
        }
        let mut endpoint = Self::new(config)?;
        let mut failure = None;
        for destination in resolve::socket_addrs(peer)? {
            match endpoint.connect_to(destination, peer.interface()) {
                Ok(()) => return Ok(endpoint),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Err(Error::unsuitable(peer, "its name has no address")),
        }
    }

    fn connect_to(
        &mut self,
        destination: SocketAddr,
        selector: Option<&InterfaceSelector>,
    ) -> Result<(), Error> {
        let way = Way::to(destination, selector)?;
        let any = unspecified(destination.is_ipv4());
        let config = way.set_up(&self.config);
        let socket = Socket::bind((any, 0).into(), &config)?;
        socket
            .connect(way.destination)
            .map_err(|error| way.explain(error))?;
        self.add(socket)?;
        self.config = config;
        Ok(())
    }

    fn new(config: SocketConfig) -> Result<Self, Error> {
        Ok(Self {
            ports: Vec::new(),
            config,
            poller: Poller::new()?,
            polled: AtomicBool::new(false),
            ready: Vec::new(),
            stopper: None,
            stopped: false,
            watch: None,
            unhealed: false,
            wanted: Vec::new(),
            joined: Vec::new(),
            news: VecDeque::new(),
            batch: RecvBatch::new(),
            next: Position::default(),
            current: 0,
            admitted: false,
            eager: 0,
            came: None,
        })
    }

    /// Binds to a local address; to any of them with one socket for each version of IP.
    fn bind(&mut self, address: &Address) -> Result<(), Error> {
        let mut config = self.config.clone();
        if let Some(selector) = address.interface() {
            config.device = Some(manycast_net::find_interface(selector)?.index);
        }
        let locals = resolve::socket_addrs(address)?;
        // Where the kernel chooses the port, the second socket needs the same, which may be taken.
        let tries = if address.port() == 0 { 16 } else { 1 };
        let mut outcome = Ok(Vec::new());
        for _ in 0..tries {
            outcome = bind_all(&locals, &config);
            if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::AddressInUse) {
                break;
            }
        }
        for socket in outcome? {
            self.add(socket)?;
        }
        Ok(())
    }

    fn add(&mut self, socket: Socket) -> Result<usize, Error> {
        let free = self.ports.iter().position(Option::is_none);
        let index = free.unwrap_or(self.ports.len());
        if *self.polled.get_mut() {
            self.poller.add(&socket, index as Token)?;
        }
        let port = Some(Port {
            local: socket.local_addr()?,
            socket,
            groups: Vec::new(),
        });
        match self.ports.get_mut(index) {
            Some(slot) => *slot = port,
            None => self.ports.push(port),
        }
        Ok(index)
    }

    /// Makes the sockets known to the poller, once it is needed.
    fn poll_ports(&self) -> Result<(), Error> {
        if !self.polled.load(Ordering::Relaxed) {
            for (token, port) in (0..).zip(&self.ports) {
                if let Some(port) = port {
                    self.poller.add(&port.socket, token)?;
                }
            }
            self.polled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().flatten()
    }

    /// The sockets, each of one version of IP.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.ports().map(|port| &port.socket)
    }

    /// The local addresses, without those of sockets that are bound to a group.
    pub(crate) fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.ports()
            .map(|port| port.local)
            .filter(|local| !local.ip().is_multicast())
    }

    pub(crate) const fn config(&self) -> &SocketConfig {
        &self.config
    }

    /// Lets anybody send to it again, by sockets in the places of those that have a peer.
    pub(crate) fn disconnect(&mut self) -> Result<(), Error> {
        for (token, port) in (0..).zip(&mut self.ports) {
            let Some(port) = port
                .as_mut()
                .filter(|port| port.socket.peer_addr().is_some())
            else {
                continue;
            };
            let socket = port.socket.disconnected(&self.config)?;
            for group in &port.groups {
                socket.join(group.address, group.interface, &group.sources)?;
            }
            if *self.polled.get_mut() {
                self.poller.add(&socket, token)?;
            }
            port.local = socket.local_addr()?;
            port.socket = socket;
        }
        Ok(())
    }

    /// Changes the set-up of all sockets, those to come included.
    pub(crate) fn reconfigure(
        &mut self,
        change: impl FnOnce(&mut SocketConfig),
        apply: impl Fn(&Socket) -> Result<(), manycast_net::Error>,
    ) -> Result<(), Error> {
        self.sockets().try_for_each(apply)?;
        change(&mut self.config);
        Ok(())
    }

    /// The smallest receive buffer among the sockets.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn receive_buffer(&self) -> Result<BufferSize, Error> {
        let mut smallest = BufferSize {
            requested: self.config.receive_buffer,
            granted: usize::MAX,
        };
        for socket in self.sockets() {
            let size = socket.receive_buffer()?;
            if size.granted < smallest.granted {
                smallest = size;
            }
        }
        Ok(smallest)
    }

    /// What the kernel dropped on all sockets.
    pub(crate) fn dropped(&self) -> u64 {
        self.sockets().map(Socket::dropped).sum()
    }

    pub(crate) fn stopper(&mut self) -> Result<Stopper, Error> {
        if let Some(stopper) = &self.stopper {
            return Ok(stopper.clone());
        }
        let stopper = Stopper::new()?;
        self.poller.add(&stopper, STOP)?;
        self.stopper = Some(stopper.clone());
        Ok(stopper)
    }

    pub(crate) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn tell(&mut self, news: News) {
        tracing::trace!(?news, "news of an endpoint");
        if self.news.len() == MAX_NEWS {
            self.news.pop_front();
        }
        self.news.push_back(news);
    }

    /// The one socket that it consists of, if it does.
    pub(crate) fn into_single(self) -> Option<Socket> {
        let mut sockets = self.ports.into_iter().flatten().map(|port| port.socket);
        let first = sockets.next();
        first.filter(|_| sockets.next().is_none())
    }

    /// Follows the interfaces after something about them changed.
    fn heal(&mut self) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let changes = watch.drain()?;
        self.batch.forget_interfaces();
        (self.next, self.admitted) = (Position::default(), false);
        for change in changes {
            match change {
                // Its memberships are gone with it, also where the index is given anew.
                Change::Removed(index) => self.leave_interface(index),
                // Any device may have been recreated; the kernel does not say which.
                Change::Lost => self.leave_all(),
                Change::Changed(_) => {}
            }
        }
        self.unhealed = true;
        self.follow()
    }

    /// After a failure it is tried again at the next wait.
    fn follow(&mut self) -> Result<(), Error> {
        self.reconcile(false)?;
        self.unhealed = false;
        Ok(())
    }
}

impl AsFd for Endpoint {
    /// A descriptor that is readable when there is something to receive or to heal.
    fn as_fd(&self) -> BorrowedFd<'_> {
        if let Err(error) = self.poll_ports() {
            tracing::error!(%error, "the descriptor will not tell of datagrams");
        }
        self.poller.as_fd()
    }
}

pub(crate) fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    }
}

/// One socket for each address; with port 0, all on the port that the first was given.
fn bind_all(
    locals: &[SocketAddr],
    config: &SocketConfig,
) -> Result<Vec<Socket>, manycast_net::Error> {
    let mut sockets: Vec<Socket> = Vec::new();
    let mut failure = None;
    for local in locals {
        let port = match sockets.first() {
            Some(first) => first.local_addr()?.port(),
            None => local.port(),
        };
        let mut local = *local;
        local.set_port(port);
        match Socket::bind(local, config) {
            Ok(socket) => sockets.push(socket),
            // A host with one version of IP switched off has the other one.
            Err(error)
                if locals.len() > 1
                    && [ErrorKind::Unsupported, ErrorKind::AddressNotAvailable]
                        .contains(&error.kind()) =>
            {
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match failure {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}
