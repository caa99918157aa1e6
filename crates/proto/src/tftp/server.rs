//! Who keeps files: many transfers at once.

mod flow;
mod run;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_types::{Address, InterfaceSelector, Received, SocketId, Transmit};

use super::config::{BLOCK_SIZE, ServerConfig};
use super::event::{Agreed, Failure, ServerEvent, Summary, TransferId};
use super::exchange::{Exchange, Terms};
use super::message::{ErrorCode, FileRequest, Message, Mode, Options, Refusal};
use crate::{Output, Request};
use session::Session;

/// How many refusals and answers to strangers go out in a second at most.
const ANSWERS_A_SECOND: u32 = 100;

/// How long a request is kept at least, so that its sender can answer, however many others come.
const TIME_TO_ANSWER: Duration = Duration::from_millis(50);

/// Keeps files for clients that read and write them.
///
/// It asks the application for each file ([`ServerEvent::Requested`]), and the bytes come and go by
/// events and commands, so that no disk holds up the other transfers.
///
/// What keeps it from being misused:
///
/// * A request may come from a forged address. What is sent to one that has not answered is an
///   option acknowledgment, which is hardly longer than the request, or one data packet of 516
///   bytes, [`ServerConfig::first_answers`] times at most: no more than 2,064 bytes by default, the
///   last of them after 7 seconds. After 15 seconds the request is forgotten; one that waits for its
///   turn to acknowledge what goes to a group is kept until then, and answered once before.
/// * Requests whose sender has not answered have a number of their own,
///   [`ServerConfig::unconfirmed`]. The oldest makes room for a new one, but only once it is 50 ms old:
///   until then the new one is passed over without an answer, and its sender asks again. So a flood
///   costs little for each of its requests, ends no transfer that runs, and leaves those whom the
///   server has answered the time to answer too.
/// * Refusals and answers to strangers go out a hundred times a second at most.
/// * Transfers are bounded in number, by address, in memory and in time.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    transfers: HashMap<TransferId, Transfer>,
    sessions: BTreeMap<u64, Session>,
    next: u64,
    by_socket: HashMap<SocketId, Owner>,
    /// The latest transfer of each peer.
    by_peer: HashMap<SocketAddr, TransferId>,
    per_address: HashMap<IpAddr, usize>,
    /// How many have not ended, those included whose peer has not answered.
    running: usize,
    /// Those whose peer has not answered yet. Their numbers rise, so the first is the oldest.
    unconfirmed: BTreeSet<TransferId>,
    /// Who may have something to do.
    ready: VecDeque<Owner>,
    timers: BTreeSet<(Instant, Owner)>,
    outputs: VecDeque<Output<ServerEvent>>,
    /// Since when answers are counted, and how many there were.
    answers: Option<(Instant, u32)>,
    stats: ServerStats,
    stopped: bool,
    finished: bool,
}

/// What a [`Server`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Requests for files.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Transfers that ended well.
    pub completed: u64,
    /// Transfers that ended otherwise.
    pub failed: u64,
    /// Of these, those that made room for others before the peer had answered.
    pub displaced: u64,
    /// Requests that were passed over without an answer, because so many others had just come.
    pub passed_over: u64,
    /// Datagrams that were no packets, or had no place in their transfer.
    pub malformed: u64,
    /// Packets that belong to no transfer.
    pub strangers: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Owner {
    Transfer(TransferId),
    Session(u64),
}

#[derive(Debug)]
struct Transfer {
    /// Who asked, and how to answer.
    reply: Transmit<()>,
    /// The local address that was asked, for a port of its own.
    local: Option<Address>,
    request: FileRequest,
    state: State,
    /// The port of its own.
    socket: Option<SocketId>,
    started: Instant,
    queued: bool,
    alarm: Option<Instant>,
    counted: bool,
}

#[derive(Debug)]
enum State {
    /// The application has not answered yet.
    Asked,
    /// A port of its own was asked for.
    Opening {
        size: Option<u64>,
    },
    Running(Box<Exchange>),
    /// It gets what is sent to a group.
    Member(u64),
}

impl Transfer {
    const fn peer(&self) -> SocketAddr {
        self.reply.destination
    }
}

impl Server {
    /// A server that answers from now on.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            transfers: HashMap::new(),
            sessions: BTreeMap::new(),
            next: 0,
            by_socket: HashMap::new(),
            by_peer: HashMap::new(),
            per_address: HashMap::new(),
            running: 0,
            unconfirmed: BTreeSet::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            answers: None,
            stats: ServerStats::default(),
            stopped: false,
            finished: false,
        }
    }

    /// What it has counted so far.
    pub const fn stats(&self) -> ServerStats {
        self.stats
    }

    /// How many transfers there are, those included whose peer has not answered yet, or whose last
    /// packet may have been lost.
    pub fn transfers(&self) -> usize {
        self.transfers.len()
    }

    /// Grants a request. `size` is how long a file to be read is, in bytes as they are on the wire,
    /// where it is known; `version` tells its content from another one that had or will have its name:
    /// by multicast, those of one version alone receive together.
    pub fn accept(&mut self, now: Instant, id: TransferId, size: Option<u64>, version: u64) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        if !matches!(transfer.state, State::Asked) {
            return;
        }
        if self.join_session(now, id, size, version) {
            return;
        }
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        match &transfer.local {
            Some(local) if !self.config.single_port => {
                let local = local.clone();
                transfer.state = State::Opening { size };
                let tag = id.0;
                self.outputs
                    .push_back(Output::Request(Request::Open { tag, local }));
            }
            _ => self.begin(now, id, size),
        }
    }

    /// Refuses a request, and tells why.
    pub fn refuse(&mut self, now: Instant, id: TransferId, refusal: Refusal) {
        self.stats.refused += 1;
        self.abort(now, id, refusal);
    }

    /// Ends a transfer, and tells the peer why.
    pub fn abort(&mut self, now: Instant, id: TransferId, refusal: Refusal) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        match &mut transfer.state {
            State::Running(exchange) => exchange.abort(refusal),
            State::Member(session) => {
                let number = *session;
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.abort(now, id, refusal);
                    self.wake(Owner::Session(number));
                }
                return;
            }
            State::Asked | State::Opening { .. } => {
                let reply = transfer.reply;
                self.answer(now, reply, Message::Error(refusal.clone()).emit());
                self.ended(now, id, Err(Failure::Aborted(refusal)), Summary::default());
                self.remove(id);
                return;
            }
        }
        self.wake(Owner::Transfer(id));
    }

    /// Hands over the part of a file that [`ServerEvent::Read`] wants.
    pub fn provide(&mut self, now: Instant, id: TransferId, offset: u64, bytes: impl Into<Bytes>) {
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return;
        };
        match &mut transfer.state {
            State::Running(exchange) => {
                exchange.provide(now, offset, bytes.into());
                self.wake(Owner::Transfer(id));
            }
            State::Member(number) => {
                let number = *number;
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.provide(now, offset, bytes.into());
                    self.wake(Owner::Session(number));
                }
            }
            _ => {}
        }
    }

    /// Takes in that so many bytes of [`ServerEvent::Write`] are written. While many are not, the
    /// client is kept waiting.
    pub fn written(&mut self, id: TransferId, bytes: usize) {
        if let Some(transfer) = self.transfers.get_mut(&id)
            && let State::Running(exchange) = &mut transfer.state
        {
            exchange.written(bytes);
            self.wake(Owner::Transfer(id));
        }
    }

    /// Takes in that a whole file is stored, after [`ServerEvent::Complete`].
    pub fn stored(&mut self, now: Instant, id: TransferId) {
        if let Some(transfer) = self.transfers.get_mut(&id)
            && let State::Running(exchange) = &mut transfer.state
        {
            exchange.stored(now);
            self.wake(Owner::Transfer(id));
        }
    }

    /// Takes in a request for a file.
    fn requested(&mut self, now: Instant, received: &Received<'_>, request: FileRequest) {
        let peer = received.source;
        // RFC 1123 §4.2.3.5: a request to a broadcast address is ignored; one to a group as well.
        let is_for_many = received.destination.ip().is_multicast()
            || received
                .local
                .is_some_and(|local| local != received.destination.ip());
        if is_for_many || !can_be_peer(peer) {
            self.stats.strangers += 1;
            return;
        }
        if self.is_repeated(now, peer, &request) {
            return;
        }
        self.stats.requests += 1;
        let busy = self.running - self.unconfirmed.len() >= self.config.transfers;
        let own = self.per_address.get(&peer.ip()).copied().unwrap_or(0);
        let text = if busy {
            Some("the server is busy; try again later")
        } else if own >= self.config.per_address && !self.displace_of(now, peer.ip()) {
            Some("this address has too many transfers")
        } else {
            None
        };
        if let Some(text) = text {
            self.stats.refused += 1;
            let refusal = Refusal::new(ErrorCode::NotDefined, text);
            self.answer(now, received.reply(), Message::Error(refusal).emit());
            return;
        }
        if !self.make_room(now) {
            self.stats.passed_over += 1;
            return;
        }
        let id = TransferId(self.next);
        self.next += 1;
        *self.per_address.entry(peer.ip()).or_default() += 1;
        self.running += 1;
        self.unconfirmed.insert(id);
        self.by_peer.insert(peer, id);
        self.transfers.insert(
            id,
            Transfer {
                reply: received.reply(),
                local: local_of(received),
                request: request.clone(),
                state: State::Asked,
                socket: None,
                started: now,
                queued: false,
                alarm: None,
                counted: true,
            },
        );
        self.outputs
            .push_back(Output::Event(ServerEvent::Requested { id, peer, request }));
    }

    /// Whether a request is one that has come before, and was or will be answered.
    fn is_repeated(&mut self, now: Instant, peer: SocketAddr, request: &FileRequest) -> bool {
        let Some(&id) = self.by_peer.get(&peer) else {
            return false;
        };
        let Some(transfer) = self.transfers.get_mut(&id) else {
            return false;
        };
        let is_same = transfer.request == *request;
        match &mut transfer.state {
            State::Member(number) if is_same => {
                // It may have missed the word of the group.
                let number = *number;
                if let Some(session) = self.sessions.get_mut(&number)
                    && session.socket.is_some()
                {
                    session.greet(now, id);
                    self.wake(Owner::Session(number));
                }
                true
            }
            State::Asked | State::Opening { .. } if is_same => true,
            State::Running(exchange)
                if is_same
                    && !exchange.is_over()
                    && (!exchange.is_confirmed() || exchange.is_lively(now)) =>
            {
                true
            }
            // The client was started again, or asks for something else.
            State::Running(exchange) if self.config.single_port => {
                exchange.end(Err(Failure::Displaced));
                self.flow(now, Owner::Transfer(id));
                false
            }
            _ => false,
        }
    }

    /// Makes room for a request of an address that has too many, if one of them was not answered.
    fn displace_of(&mut self, now: Instant, address: IpAddr) -> bool {
        let is_its = |id: &&TransferId| {
            let transfer = self.transfers.get(*id);
            transfer.is_some_and(|transfer| transfer.peer().ip() == address)
        };
        let found = self.unconfirmed.iter().find(is_its).copied();
        if let Some(id) = found {
            self.displace(now, id);
        }
        found.is_some()
    }

    /// Makes room for one more whose sender has not answered. False if the oldest of them came just now.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.unconfirmed.len() < self.config.unconfirmed.max(1) {
            return true;
        }
        let oldest = self.unconfirmed.first().copied();
        let transfer = oldest.and_then(|id| self.transfers.get(&id));
        let is_new =
            |transfer: &Transfer| now.saturating_duration_since(transfer.started) < TIME_TO_ANSWER;
        if transfer.is_some_and(is_new) {
            return false;
        }
        if let Some(oldest) = oldest {
            self.displace(now, oldest);
        }
        true
    }

    /// Forgets a transfer whose peer has not answered.
    fn displace(&mut self, now: Instant, id: TransferId) {
        self.stats.displaced += 1;
        if let Some(Transfer { state, .. }) = self.transfers.get(&id)
            && let State::Member(number) = *state
            && let Some(session) = self.sessions.get_mut(&number)
        {
            session.forget(now, id);
        }
        self.ended(now, id, Err(Failure::Displaced), Summary::default());
        self.remove(id);
    }

    /// The terms that are granted to a request, and how they are told.
    fn terms(&self, request: &FileRequest, size: Option<u64>) -> (Terms, Options) {
        let asked = &request.options;
        let most = self.config.block_size.max(8);
        let block_size = asked.block_size.map(|size| size.min(most));
        let in_block = block_size.unwrap_or(BLOCK_SIZE);
        let fits = (self.config.window_bytes / usize::from(in_block)).clamp(1, 32_767);
        let fits = u16::try_from(fits).unwrap_or(1);
        let window = asked
            .window
            .map(|window| window.min(self.config.window).min(fits).max(1));
        let transfer_size = match (asked.transfer_size, request.write) {
            (Some(_), false) => size,
            // RFC 2349: the size of a file to be written is told back.
            (size, true) => size,
            (None, _) => None,
        };
        let options = Options {
            block_size,
            timeout: asked.timeout,
            transfer_size,
            window,
            multicast: None,
            foreign: false,
        };
        let terms = Terms {
            block_size: in_block,
            window: window.unwrap_or(1),
            timeout: asked.timeout,
            roll_over: self.config.roll_over,
            timing: self.config.timing,
            first_answers: Some(self.config.first_answers.max(1)),
            // Whoever wrote a file must not take it for failed because one packet was lost.
            linger: self.config.timing.patience,
        };
        (terms, options)
    }

    /// Gives a request the first answer.
    fn begin(&mut self, now: Instant, id: TransferId, size: Option<u64>) {
        let Some(transfer) = self.transfers.get(&id) else {
            return;
        };
        let (terms, options) = self.terms(&transfer.request, size);
        let write = transfer.request.write;
        // RFC 2347: without options the first block, or the acknowledgment of block 0, is the answer.
        let opening = match (options.is_empty(), write) {
            (false, _) => Some(Message::Options(options.clone()).emit()),
            (true, true) => Some(Message::Acknowledgment { block: 0 }.emit()),
            (true, false) => None,
        };
        let exchange = if write {
            Exchange::receive(now, terms, opening, false)
        } else {
            Exchange::send(now, terms, opening, false)
        };
        let agreed = Agreed {
            block_size: terms.block_size,
            window: terms.window,
            transfer_size: if write {
                transfer.request.options.transfer_size
            } else {
                size
            },
            timeout: options.timeout,
            group: None,
        };
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.state = State::Running(Box::new(exchange));
        }
        self.outputs
            .push_back(Output::Event(ServerEvent::Agreed { id, agreed }));
        self.wake(Owner::Transfer(id));
    }

    /// Lets a client have what is sent to a group, if it asked for that and it can be.
    fn join_session(
        &mut self,
        now: Instant,
        id: TransferId,
        size: Option<u64>,
        version: u64,
    ) -> bool {
        let Some(transfer) = self.transfers.get(&id) else {
            return false;
        };
        let request = &transfer.request;
        let ipv4 = transfer.peer().is_ipv4();
        let (Some(size), Some(local)) = (size, transfer.local.clone()) else {
            return false;
        };
        if request.write || request.options.multicast.is_none() || request.mode != Mode::Octet {
            return false;
        }
        let (terms, _) = self.terms(request, Some(size));
        // RFC 2090 has blocks asked for by their number, which must not come again.
        if size / u64::from(terms.block_size) >= 65_535 {
            return false;
        }
        let (peer, name) = (transfer.peer(), request.name.clone());
        let wants_size = request.options.transfer_size.is_some();
        let fits = |session: &Session| {
            session.name == name
                && session.version == version
                && session.group.is_ipv4() == ipv4
                && session.terms().block_size <= terms.block_size
                && session.terms().window <= terms.window
                && (session.terms().block_size == terms.block_size
                    || request.options.block_size.is_some())
        };
        let running = self.sessions.iter().find(|(_, session)| fits(session));
        let number = match running {
            Some((number, _)) => *number,
            None => {
                let is_used = |group: &IpAddr| {
                    self.sessions
                        .values()
                        .any(|session| session.group.ip() == *group)
                };
                let mut groups = self.config.groups.iter();
                let free = groups.find(|group| group.is_ipv4() == ipv4 && !is_used(group));
                let Some(group) = free else {
                    return false;
                };
                let group = SocketAddr::new(*group, self.config.group_port);
                let duration = self.config.duration;
                let session = Session::new(now, (name, version), group, terms, size, duration);
                // Its number tells it apart from transfers where a port is asked for.
                let number = self.next;
                self.next += 1;
                self.sessions.insert(number, session);
                let request = Request::Open { tag: number, local };
                self.outputs.push_back(Output::Request(request));
                number
            }
        };
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.state = State::Member(number);
        }
        if let Some(session) = self.sessions.get_mut(&number) {
            session.add(now, id, peer, wants_size);
            let agreed = Agreed {
                block_size: session.terms().block_size,
                window: session.terms().window,
                transfer_size: Some(size),
                timeout: None,
                group: Some(session.group),
            };
            self.outputs
                .push_back(Output::Event(ServerEvent::Agreed { id, agreed }));
        }
        self.wake(Owner::Session(number));
        true
    }

    /// Answers somebody of whom nothing is kept, if that was not done too often.
    fn answer(&mut self, now: Instant, reply: Transmit<()>, packet: Bytes) {
        let (since, count) = self.answers.get_or_insert((now, 0));
        if now.saturating_duration_since(*since).as_secs() >= 1 {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count <= ANSWERS_A_SECOND {
            self.outputs.push_back(Output::Transmit(reply.with(packet)));
        }
    }
}

/// Whether it can be the address of one host, to which an answer goes.
fn can_be_peer(peer: SocketAddr) -> bool {
    let ip = peer.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    peer.port() != 0 && !ip.is_multicast() && !ip.is_unspecified() && !is_broadcast
}

/// The address for a port of its own: the one that was asked.
fn local_of(received: &Received<'_>) -> Option<Address> {
    let local = Address::from(SocketAddr::new(received.local?, 0));
    let is_link_local = matches!(received.local?, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let index = received
        .reply_interface
        .or_else(|| is_link_local.then_some(received.interface.index));
    Some(match index {
        Some(index) => local.on(InterfaceSelector::Index(index)),
        None => local,
    })
}
