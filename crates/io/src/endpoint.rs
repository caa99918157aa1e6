//! The sockets behind a listener, a sender, a socket or a driver: opened, waited for and made to
//! follow the host together.

mod follow;
mod membership;
mod open;
mod outlets;
mod receive;
mod stop;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use manycast_net::{
    BufferSize, Dropped, Poller, Position, RecvBatch, Socket, SocketConfig, Stopper, Token, Waker,
    Watch,
};
use manycast_proto::NetworkEvent;
use manycast_types::{InterfaceSelector, SocketId, SourceFilter, Transmit};

use crate::Error;
use follow::Origin;
use membership::{Joined, Wanted};
use outlets::Outlet;
pub(crate) use outlets::Outlets;
#[cfg(feature = "tokio")]
pub(crate) use receive::Look;
use stop::Stop;

const WATCH: Token = Token::MAX;
const STOP: Token = Token::MAX - 1;
const WAKE: Token = Token::MAX - 2;
const LEFT: Token = Token::MAX - 3;

/// One or more sockets that act as one: those of both versions of IP, of several ports, of more
/// groups than the kernel allows on one socket.
///
/// A [`Listener`](crate::Listener), a [`Sender`](crate::Sender) and a [`Socket`](crate::Socket) each
/// have one behind them, and turn into it for a [`Driver`](crate::Driver).
#[derive(Debug)]
pub struct Endpoint {
    /// A slot that is empty belonged to a socket that is closed; its token may be given anew.
    ports: Vec<Option<Port>>,
    /// Which slots are empty.
    free: Vec<usize>,
    /// How many sockets were opened so far, for their identifiers.
    opened: u64,
    /// What sending needs of the ports, and the same for the other half of a split socket.
    outlets: Arc<Outlets>,
    shared: Option<Arc<RwLock<Arc<Outlets>>>>,
    config: SocketConfig,
    /// The interface by which datagrams to groups leave, as it was chosen.
    multicast_interface: Option<InterfaceSelector>,
    poller: Poller,
    /// Whether the poller knows the sockets. One that is waited for by the receiving call itself, or
    /// by the runtime, need not be known, and each datagram then wakes one waiter and not two.
    polled: AtomicBool,
    ready: Vec<Token>,
    stopper: Option<Stopper>,
    stop: Option<Stop>,
    waker: Option<Waker>,
    woken: bool,
    /// The slot of the socket whose send buffer is full, and whether it has room again.
    room_wanted: Option<usize>,
    has_room: bool,
    /// There once something was asked for on a named interface, or a group on any.
    watch: Option<Watch>,
    /// When what could not follow the interfaces is tried again.
    retry: Option<Instant>,
    /// Whether the kernel could not tell of all changes, so that memberships may be gone unseen.
    is_lost: bool,
    wanted: Vec<Wanted>,
    joined: Vec<Joined>,
    events: VecDeque<NetworkEvent>,
    batch: RecvBatch,
    /// The next datagram of `batch` to hand out, and the port that it came from.
    next: Position,
    current: usize,
    /// Whether that datagram is there and was asked for, as far as was looked.
    admitted: bool,
    /// Whether there may be sockets that only hand out what they have received.
    has_retired: bool,
    /// How often that port may still be received from before the poller is asked again.
    eager: u32,
    /// When the kernel received the batch before.
    came: Option<SystemTime>,
    /// What keeps the descriptor readable, once somebody else waits for it, and whether it does.
    left: OnceLock<Waker>,
    is_shown: AtomicBool,
    /// What the kernel dropped on sockets that are closed by now.
    dropped_before: Dropped,
}

/// A socket and what it was opened for.
#[derive(Debug)]
struct Port {
    id: SocketId,
    socket: Arc<Socket>,
    local: SocketAddr,
    origin: Origin,
    /// The only one from whom unicast is wanted. Of the two sockets for both versions of IP, only one
    /// is connected to it.
    peer: Option<SocketAddr>,
    groups: Vec<PortGroup>,
    /// Whether the kernel allows no more memberships on it.
    full: bool,
    /// Whether another socket has taken its place, and it only hands out what it has received.
    retired: bool,
    /// Whether an answer must leave by the interface that a datagram came in on.
    reply_by_interface: bool,
}

/// A group that a socket has joined on an interface.
#[derive(Clone, Debug)]
struct PortGroup {
    address: IpAddr,
    interface: u32,
    sources: SourceFilter,
    /// Whether it was left since, and only what had come before is still handed out.
    left: bool,
}

impl Port {
    /// Whether it was opened for a local address on an interface that was named.
    const fn is_bound_to_interface(&self) -> bool {
        matches!(
            self.origin,
            Origin::Local {
                selector: Some(_),
                ..
            }
        )
    }

    fn outlet(&self, config: &SocketConfig) -> Outlet {
        let was_named = !matches!(self.origin, Origin::Peer { selector: None, .. });
        let of_socket = self.socket.device().or(config.multicast_interface);
        Outlet {
            id: self.id,
            local: self.local,
            socket: Arc::clone(&self.socket),
            by_any: !was_named && of_socket.is_none(),
        }
    }
}

impl PortGroup {
    fn is(&self, address: IpAddr, interface: u32) -> bool {
        self.address == address && self.interface == interface
    }
}

/// How many refusals that nobody asks for are kept; membership changes are all kept.
const MAX_UNREACHABLE: usize = 1024;

impl Endpoint {
    /// An endpoint without a socket.
    pub(crate) fn new(config: SocketConfig) -> Result<Self, Error> {
        Ok(Self {
            ports: Vec::new(),
            free: Vec::new(),
            opened: 0,
            outlets: Arc::default(),
            shared: None,
            config,
            multicast_interface: None,
            poller: Poller::new()?,
            polled: AtomicBool::new(false),
            ready: Vec::new(),
            stopper: None,
            stop: None,
            waker: None,
            woken: false,
            room_wanted: None,
            has_room: false,
            watch: None,
            retry: None,
            is_lost: false,
            wanted: Vec::new(),
            joined: Vec::new(),
            events: VecDeque::new(),
            batch: RecvBatch::new(),
            next: Position::default(),
            current: 0,
            admitted: false,
            has_retired: false,
            eager: 0,
            came: None,
            left: OnceLock::new(),
            is_shown: AtomicBool::new(false),
            dropped_before: Dropped::default(),
        })
    }

    /// The local address of a socket.
    pub(crate) fn local_addr_of(&self, id: SocketId) -> Option<SocketAddr> {
        let port = self.port(slot_of(id)).filter(|port| port.id == id)?;
        Some(port.local)
    }

    fn add(&mut self, socket: Socket, origin: Origin) -> Result<usize, Error> {
        let slot = self.free.last().copied().unwrap_or(self.ports.len());
        if *self.polled.get_mut() {
            self.poller.add(&socket, slot as Token)?;
        }
        // The slot stands in the low half, so that the socket is found by its identifier.
        let id = SocketId::new(self.opened << 32 | slot as u64);
        self.opened += 1;
        let port = Some(Port {
            id,
            local: socket.local_addr()?,
            peer: socket.peer_addr(),
            socket: Arc::new(socket),
            origin,
            groups: Vec::new(),
            full: false,
            retired: false,
            reply_by_interface: false,
        });
        if self.free.pop().is_some() {
            debug_assert!(self.ports[slot].is_none(), "slot {slot} is not free");
            self.ports[slot] = port;
        } else {
            self.ports.push(port);
        }
        Ok(slot)
    }

    /// Closes the socket in a slot.
    fn remove(&mut self, slot: usize) {
        let Some(port) = self.ports.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.free.push(slot);
        if *self.polled.get_mut() {
            // The other half of a split socket may hold it open for a moment.
            let _ = self.poller.remove(&*port.socket);
        }
        self.dropped_before = self.dropped_before + dropped_by(&port.socket);
        if slot == self.current {
            self.admitted = false;
        }
    }

    /// Makes the sockets known to the poller, once it is needed.
    pub(crate) fn poll_ports(&self) -> Result<(), Error> {
        if !self.polled.load(Ordering::Relaxed) {
            for (token, port) in (0..).zip(&self.ports) {
                if let Some(port) = port {
                    self.poller.add(&*port.socket, token)?;
                }
            }
            self.polled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn port(&self, slot: usize) -> Option<&Port> {
        self.ports.get(slot).and_then(Option::as_ref)
    }

    /// The ports, but for those that only hand out what they have received.
    fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().flatten().filter(|port| !port.retired)
    }

    /// The sockets, each of one version of IP.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.ports().map(|port| &*port.socket)
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

    /// Lets datagrams to groups leave by an interface from now on.
    pub(crate) fn set_multicast_interface(
        &mut self,
        selector: Option<&InterfaceSelector>,
    ) -> Result<(), Error> {
        let mut index = None;
        if let Some(selector) = selector {
            self.watch()?;
            index = Some(manycast_net::find_interface(selector)?.index);
        }
        self.reconfigure(
            |config| config.multicast_interface = index,
            |socket| socket.set_multicast_interface(index),
        )?;
        self.multicast_interface = selector.cloned();
        self.publish();
        Ok(())
    }

    /// The smallest receive buffer among the sockets.
    ///
    /// # Errors
    ///
    /// There is no socket: nothing was joined yet.
    pub fn receive_buffer(&self) -> Result<BufferSize, Error> {
        let mut smallest: Option<BufferSize> = None;
        for socket in self.sockets() {
            let size = socket.receive_buffer()?;
            if smallest.is_none_or(|smallest| size.granted < smallest.granted) {
                smallest = Some(size);
            }
        }
        smallest.ok_or_else(|| {
            Error::unsuitable(
                "the listener",
                "it has no socket yet, and so no receive buffer; join a group first",
            )
        })
    }

    /// Asks the kernel what it has dropped until now for want of room in the receive buffers of all
    /// sockets, those that were replaced included.
    pub fn dropped(&self) -> Dropped {
        let ports = self.ports.iter().flatten();
        ports.fold(self.dropped_before, |before, port| {
            before + dropped_by(&port.socket)
        })
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

    /// Something that ends a wait from another thread without stopping anything.
    pub(crate) fn waker(&mut self) -> Result<Waker, Error> {
        if let Some(waker) = &self.waker {
            return Ok(waker.clone());
        }
        let waker = Waker::new()?;
        self.poller.add(&waker, WAKE)?;
        self.waker = Some(waker.clone());
        Ok(waker)
    }

    pub(crate) fn next_event(&mut self) -> Option<NetworkEvent> {
        let event = self.events.pop_front();
        if event.is_some() {
            self.show_left();
        }
        event
    }

    /// Keeps an event until it is asked for. Peers can cause any number of refusals, so they are
    /// forgotten beyond a bound; of memberships what is true now is kept.
    fn tell(&mut self, event: NetworkEvent) {
        tracing::trace!(?event, "network event");
        match &event {
            NetworkEvent::Left(membership) => {
                let joined = NetworkEvent::Joined(membership.clone());
                let unread = self.events.iter().rposition(|event| *event == joined);
                if let Some(unread) = unread {
                    // Nobody was told that it was joined.
                    self.events.remove(unread);
                    return;
                }
            }
            NetworkEvent::Unreachable { .. } if self.events.len() >= MAX_UNREACHABLE => return,
            _ => {}
        }
        self.events.push_back(event);
    }

    /// Sends `transmits` in order, each by the socket that fits it, and says how many datagrams went:
    /// all, or those before the first that failed. With `wait`, a full send buffer is waited for;
    /// without, it ends the call, perhaps amid a transmit with a segment size, of which
    /// [`Transmit::after`] is the rest.
    ///
    /// # Errors
    ///
    /// Of the first datagram, as [`Socket::send_to`](crate::Socket::send_to).
    pub fn send<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        self.outlets.send(transmits, wait)
    }

    pub(crate) fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// The same outlets for another thread or task, kept true.
    pub(crate) fn share_outlets(&mut self) -> Arc<RwLock<Arc<Outlets>>> {
        let outlets = &self.outlets;
        let shared = self
            .shared
            .get_or_insert_with(|| Arc::new(RwLock::new(Arc::clone(outlets))));
        Arc::clone(shared)
    }

    /// Makes what sending needs follow the ports and what is wanted.
    fn publish(&mut self) {
        self.outlets = Arc::new(self.current_outlets());
        self.share();
    }

    /// The same after sockets for local addresses were opened or closed in these slots: of a thousand
    /// others none is touched, since a flood of requests may open and close thousands a second.
    fn publish_slots(&mut self, slots: &[usize]) {
        // Where a group is wanted, a new socket may change the interface that the others send by.
        if !self.wanted.is_empty() {
            self.publish();
            return;
        }
        for &slot in slots {
            let outlet = self
                .ports
                .get_mut(slot)
                .and_then(Option::as_mut)
                .map(|port| {
                    port.reply_by_interface = port.is_bound_to_interface();
                    port.outlet(&self.config)
                });
            Arc::make_mut(&mut self.outlets).set(slot, outlet);
        }
        self.share();
    }

    /// Gives what sending needs to the other half of a split socket.
    fn share(&self) {
        if let Some(shared) = &self.shared {
            let mut shared = shared.write().unwrap_or_else(PoisonError::into_inner);
            *shared = Arc::clone(&self.outlets);
        }
    }

    /// The one socket that it consists of, if it does.
    pub(crate) fn into_single(mut self) -> Option<Socket> {
        self.outlets = Arc::default();
        let mut ports = self.ports.into_iter().flatten();
        let first = ports.next()?;
        ports
            .next()
            .is_none()
            .then(|| Arc::into_inner(first.socket))?
    }
}

impl AsFd for Endpoint {
    /// A descriptor that is readable while there is something to receive or to follow, also what one
    /// call has received and was not taken yet.
    fn as_fd(&self) -> BorrowedFd<'_> {
        if let Err(error) = self.show_from_now_on() {
            tracing::error!(%error, "the descriptor will not tell of all datagrams");
        }
        self.waiting_fd()
    }
}

impl Endpoint {
    /// The descriptor for those who take everything that a wait brought before they wait again.
    pub(crate) fn waiting_fd(&self) -> BorrowedFd<'_> {
        if let Err(error) = self.poll_ports() {
            tracing::error!(%error, "the descriptor will not tell of datagrams");
        }
        self.poller_fd()
    }

    /// The same, of what the poller knows now.
    pub(crate) fn poller_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    fn show_from_now_on(&self) -> Result<(), Error> {
        if self.left.get().is_none() {
            let waker = Waker::new()?;
            self.poller.add(&waker, LEFT)?;
            let _ = self.left.set(waker);
            let is_left = self.batch.at(self.next).is_some() || !self.events.is_empty();
            self.show(is_left);
        }
        Ok(())
    }

    fn show(&self, is_left: bool) {
        if let Some(waker) = self.left.get()
            && self.is_shown.swap(is_left, Ordering::Relaxed) != is_left
        {
            if is_left {
                waker.wake();
            } else {
                waker.clear();
            }
        }
    }
}

/// What the kernel dropped on a socket until now. Before Linux 4.12 it does not say, and what it told
/// with the last datagram must do.
fn dropped_by(socket: &Socket) -> Dropped {
    let told = || Dropped::new(socket.dropped(), false);
    socket.count_dropped().unwrap_or_else(|_| told())
}

/// The slot of the socket with this identifier.
fn slot_of(id: SocketId) -> usize {
    usize::try_from(id.get() & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

pub(crate) fn unspecified(ipv4: bool) -> IpAddr {
    if ipv4 {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    }
}
