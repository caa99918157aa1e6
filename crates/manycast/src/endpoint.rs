//! The sockets behind a listener, a socket or a driver: opened, waited for and healed together.

mod membership;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use manycast_net::{
    BufferSize, Change, ErrorKind, Operation, Poller, Position, RecvBatch, Run, Socket,
    SocketConfig, Stopper, Token, Unreachable, Watch,
};
use manycast_types::{Address, Host, InterfaceSelector, Received, SourceFilter, Transmit};

use crate::way::{self, Way};
use crate::{Error, resolve};
pub use membership::Membership;
use membership::{Joined, Wanted};

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

    const fn is_refusal(&self) -> bool {
        self.refusal().is_some()
    }
}

/// What [`Endpoint::look`] found.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// What ends a wait: a datagram, or news, or a stop.
    Something,
    /// Nothing that was asked for, but there may be more behind it.
    Again,
    /// Nothing is there; the descriptor will tell.
    Nothing,
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
        self.poller.add(&socket, index as Token)?;
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
            self.poller.add(&socket, token)?;
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
    pub(crate) fn receive_buffer(&self) -> Result<BufferSize, Error> {
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

    /// Makes a datagram ready for [`Endpoint::take`], and says whether there is one. It waits until
    /// `timeout` is over (`None`: for ever), until there is news, or until it is stopped.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        if self.has_datagram() {
            return Ok(true);
        }
        if !self.news.is_empty() || self.stopped {
            return Ok(false);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = match deadline {
                Some(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
                None => timeout,
            };
            self.advance(left)?;
            if self.has_datagram() {
                return Ok(true);
            }
            if !self.news.is_empty() || self.stopped {
                return Ok(false);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(false);
            }
        }
    }

    /// Looks without waiting.
    #[cfg(feature = "tokio")]
    pub(crate) fn look(&mut self) -> Result<Look, Error> {
        let mut served = false;
        if !self.would_end_a_wait() {
            served = self.advance(Some(Duration::ZERO))?;
        }
        Ok(match (self.would_end_a_wait(), served) {
            (true, _) => Look::Something,
            (false, true) => Look::Again,
            (false, false) => Look::Nothing,
        })
    }

    #[cfg(feature = "tokio")]
    fn would_end_a_wait(&mut self) -> bool {
        self.has_datagram() || !self.news.is_empty() || self.stopped
    }

    /// As [`Endpoint::wait`], but passes over news, which is only traced. If `connected`, a refusal
    /// ends the wait, and is kept for [`Endpoint::take_refusal`]; else it is news like any other,
    /// since whoever asks a server and goes away must not end its wait.
    pub(crate) fn wait_for_datagram(
        &mut self,
        timeout: Option<Duration>,
        connected: bool,
    ) -> Result<bool, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.news.retain(|news| connected && news.is_refusal());
            let left = match deadline {
                Some(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
                None => timeout,
            };
            let found = self.wait(left)?;
            let over = left.is_some_and(|left| left.is_zero());
            let refused = connected && self.news.iter().any(News::is_refusal);
            if found || over || self.stopped || refused {
                return Ok(found);
            }
        }
    }

    /// The peer that refused a datagram, once. Other news is passed over.
    pub(crate) fn take_refusal(&mut self) -> Option<SocketAddr> {
        let peer = self.news.iter().find_map(News::refusal);
        self.news.clear();
        peer
    }

    /// The one socket that it consists of, if it does.
    pub(crate) fn into_single(mut self) -> Option<Socket> {
        let socket = self.ports.pop().flatten().map(|port| port.socket);
        if self.ports.iter().any(Option::is_some) {
            None
        } else {
            socket
        }
    }

    /// Does one step: serves what is ready, or else waits for something to be. Says whether
    /// something was, be it wanted or not.
    fn advance(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        if self.unhealed {
            self.follow()?;
            return Ok(true);
        }
        if let (None, None, [Some(port)]) = (&self.watch, &self.stopper, self.ports.as_slice()) {
            // One socket can be waited for by the receiving call itself.
            port.socket.recv_batch(&mut self.batch, timeout)?;
            return Ok(self.begin_batch(0));
        }
        let mut served = false;
        if self.ready.is_empty() {
            self.poller.wait(&mut self.ready, timeout)?;
        }
        while let Some(token) = self.ready.pop() {
            served = true;
            match token {
                STOP => self.stopped = true,
                WATCH => self.heal()?,
                token => {
                    let index = usize::try_from(token).unwrap_or(usize::MAX);
                    // A socket may have been closed since it was found ready.
                    let Some(Some(port)) = self.ports.get(index) else {
                        continue;
                    };
                    port.socket
                        .recv_batch(&mut self.batch, Some(Duration::ZERO))?;
                    self.begin_batch(index);
                    if self.has_datagram() {
                        break;
                    }
                }
            }
        }
        Ok(served)
    }

    /// Begins with what was just received, and says whether it is anything.
    fn begin_batch(&mut self, current: usize) -> bool {
        (self.next, self.current) = (Position::default(), current);
        for index in 0..self.batch.unreachable().len() {
            self.tell(News::Unreachable(self.batch.unreachable()[index]));
        }
        !self.batch.is_empty() || !self.batch.unreachable().is_empty()
    }

    /// Skips what was not asked for, and says whether a datagram is left.
    pub(crate) fn has_datagram(&mut self) -> bool {
        while let Some(received) = self.batch.at(self.next) {
            if self.admits(&received) {
                return true;
            }
            self.next = self.batch.after(self.next);
        }
        false
    }

    /// Whether a datagram was asked for. Of a group, Linux does not compare the interface for
    /// IPv6, where all members of a host receive what comes on any interface; and what came before
    /// a membership changed is still there.
    fn admits(&self, received: &Received<'_>) -> bool {
        let Some(Some(port)) = self.ports.get(self.current) else {
            return false;
        };
        let (to, from) = (received.destination.ip(), received.source.ip());
        if to.is_multicast() {
            let on = received.interface.index;
            port.groups
                .iter()
                .any(|group| group.is(to, on) && group.sources.admits(from))
        } else {
            !port.local.ip().is_multicast()
        }
    }

    /// The datagram that [`Endpoint::wait`] made ready.
    pub(crate) fn take(&mut self) -> Option<Received<'_>> {
        if !self.has_datagram() {
            return None;
        }
        let this = self.next;
        self.next = self.batch.after(this);
        self.batch.at(this)
    }

    /// All datagrams of the batch that [`Endpoint::wait`] made ready.
    pub(crate) fn take_batch(&mut self) -> impl Iterator<Item = Received<'_>> {
        let next = std::mem::replace(&mut self.next, self.batch.end());
        let this = &*self;
        this.batch
            .runs(next)
            .filter(|run| this.admits(run.whole()))
            .flat_map(Run::datagrams)
    }

    /// Sends `transmits` in order, each by the socket that fits it, and says how many went: all, or
    /// those before the first that failed.
    ///
    /// With `wait`, a full send buffer is waited for; without, it ends the call.
    pub(crate) fn send<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let mut sent = 0;
        while let Some(next) = transmits.get(sent) {
            let port = self.port_for(next)?;
            let alike = transmits[sent..]
                .iter()
                .take_while(|other| self.port_for(other).is_ok_and(|found| same(found, port)))
                .count();
            let run = &transmits[sent..sent + alike];
            let send = |run| {
                if wait {
                    port.socket.send_batch(run)
                } else {
                    port.socket.try_send_batch(run)
                }
            };
            let result = match send(run) {
                Err(error) if needs_egress(&error, next) => {
                    let Some(interface) = way::egress(next.destination.ip())? else {
                        return Err(error.into());
                    };
                    port.socket.set_multicast_interface(Some(interface.index))?;
                    let to = next.destination.ip();
                    send(run).map_err(|error| way::no_route(error, to, Some(&interface)))
                }
                result => result,
            };
            match result {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// The socket to send by: of the right version of IP, and where a source is asked for, one that
    /// is bound to it or to any address.
    fn port_for<P>(&self, transmit: &Transmit<P>) -> Result<&Port, Error> {
        let ipv4 = transmit.destination.is_ipv4();
        let may = |port: &&Port| {
            let local = port.local.ip();
            let free = local.is_unspecified() || local.is_multicast();
            port.local.is_ipv4() == ipv4
                && (free || transmit.source.is_none_or(|source| source == local))
        };
        if let [Some(port)] = self.ports.as_slice()
            && may(&port)
        {
            return Ok(port);
        }
        self.ports().find(may).ok_or_else(|| {
            Error::unsuitable(
                transmit.destination,
                "no socket that was opened can send to it; open one of the same version of IP",
            )
        })
    }

    /// The socket by which something to `destination` would be sent.
    pub(crate) fn socket_for(&self, destination: SocketAddr) -> Result<&Socket, Error> {
        self.port_for(&Transmit::new(destination, ()))
            .map(|port| &port.socket)
    }

    /// Follows the interfaces after something about them changed.
    fn heal(&mut self) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let changes = watch.drain()?;
        self.batch.forget_interfaces();
        self.next = Position::default();
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

fn same(a: &Port, b: &Port) -> bool {
    std::ptr::eq(a, b)
}

/// Whether it failed for want of a route to a group, which an interface can stand in for.
fn needs_egress<P>(error: &manycast_net::Error, transmit: &Transmit<P>) -> bool {
    error.operation() == Operation::Send
        && error.kind() == ErrorKind::NetworkUnreachable
        && transmit.destination.ip().is_multicast()
        && transmit.interface.is_none()
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
