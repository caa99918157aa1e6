//! By what is sent: a socket, its interface, and what goes wrong there.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use manycast::{
    Address, ErrorKind, Interface, MAX_PAYLOAD, Sender, SenderConfig, Sent, SocketConfig,
    Unreachable,
};
use serde::Serialize;

use super::Args;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, grouped, named};

/// One interface to send by.
pub(super) struct Egress {
    sender: Sender,
    /// The longest payload that goes in one piece, in bytes.
    unfragmented: usize,
    warned: bool,
    /// Whether it was told that nothing can be sent for now.
    is_stuck: bool,
    /// Only a host can say that it was not reached.
    unicast: bool,
    in_trouble: bool,
}

/// What is done about a datagram that this host does not take for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is a failure: there is but this one.
    None,
    /// It is left out, since the next has its time.
    Skip,
    /// It is sent once it can be: what is read must not have holes.
    Wait,
}

/// After how long it is tried again.
const AGAIN: Duration = Duration::from_millis(10);

impl Egress {
    pub(super) fn open(address: Address, args: &Args, output: &Output) -> anyhow::Result<Self> {
        let socket = SocketConfig::default().loopback(!args.no_loopback);
        let sender = open_sender(address, args.from.clone(), args.hops, socket)?;
        let to = sender.destination();
        let multicast = to.ip().is_multicast();
        if multicast {
            remark_on_hops(&sender, output);
        }
        let found = warn_of_interface(&sender, output)?;
        let broadcast = |ip| {
            let mut own = found.iter().flat_map(|interface| &interface.addresses);
            ip == IpAddr::from([255; 4])
                || own.any(|own| own.broadcast.is_some_and(|own| IpAddr::from(own) == ip))
        };
        // RFC 791 §3.1, RFC 8200 §3 and RFC 768: the headers of IP and UDP.
        let headers = if to.is_ipv4() { 20 + 8 } else { 40 + 8 };
        let mtu = found
            .as_ref()
            .and_then(|found| usize::try_from(found.mtu).ok());
        Ok(Self {
            unicast: !multicast && !broadcast(to.ip()),
            unfragmented: mtu.map_or(MAX_PAYLOAD, |mtu| mtu.saturating_sub(headers)),
            sender,
            warned: false,
            is_stuck: false,
            in_trouble: false,
        })
    }

    /// Sends one payload; `None` where this host did not take it.
    pub(super) fn send(
        &mut self,
        payload: &[u8],
        patience: Patience,
        interrupt: &Interrupt,
        output: &Output,
    ) -> anyhow::Result<Option<Sent>> {
        let bytes = payload.len();
        if bytes > self.unfragmented && bytes <= MAX_PAYLOAD && !self.warned {
            self.warned = true;
            output.warn(format_args!(
                "{} bytes are more than {} carries in one piece ({}), so they go in fragments, and \
                 are lost when one of them is",
                grouped(bytes as u64),
                self.sender.interface(),
                grouped(self.unfragmented as u64)
            ));
        }
        self.send_or_wait(payload, patience, interrupt, output)
    }

    /// Sends, or does what `patience` says while the interface is down or has no room. `None`: it was
    /// not sent.
    fn send_or_wait(
        &mut self,
        payload: &[u8],
        patience: Patience,
        interrupt: &Interrupt,
        output: &Output,
    ) -> anyhow::Result<Option<Sent>> {
        loop {
            let error = match self.sender.try_send_batch(&[payload]) {
                Ok(0) => {
                    // A slow interface may take minutes for what the send buffer holds.
                    self.sender.wait_for_room(AGAIN)?;
                    if interrupt.is_requested() {
                        return Ok(None);
                    }
                    continue;
                }
                Ok(_) => {
                    self.is_stuck = false;
                    return Ok(Some(self.sender.sent(payload.len())));
                }
                Err(error) if error.is_transient() && patience != Patience::None => error,
                Err(error) => return Err(error.into()),
            };
            // A full queue is not worth a word; it has room again in a moment.
            if error.kind() != ErrorKind::LimitReached
                && !std::mem::replace(&mut self.is_stuck, true)
            {
                output.warn(format_args!("{error}"));
            }
            if patience == Patience::Skip {
                return Ok(None);
            }
            if interrupt.wait_until(Instant::now() + AGAIN) {
                return Ok(None);
            }
        }
    }

    /// Whether it may still be told that the host was not reached.
    pub(super) const fn may_be_in_trouble(&self) -> bool {
        self.unicast && !self.in_trouble
    }

    /// Whether it was told that the host was not reached.
    pub(super) const fn is_in_trouble(&self) -> bool {
        self.in_trouble
    }

    /// Waits for so long to be told that the host was not reached, and tells of the first time.
    pub(super) fn listen_for_trouble(
        &mut self,
        wait: Duration,
        output: &mut Output,
    ) -> anyhow::Result<()> {
        if !self.unicast {
            return Ok(());
        }
        let Some(unreachable) = self.sender.unreachable(wait)? else {
            return Ok(());
        };
        if !self.in_trouble {
            let trouble = Trouble::new(&self.sender, unreachable);
            output.object(&trouble)?;
            output.flush()?;
            output::problem(trouble);
        }
        self.in_trouble = true;
        Ok(())
    }
}

/// Opens a sender with the options of those commands that send.
pub(in crate::commands) fn open_sender(
    address: Address,
    from: Option<Address>,
    hops: Option<u8>,
    socket: SocketConfig,
) -> anyhow::Result<Sender> {
    let mut config = SenderConfig::default().socket(socket);
    config.from = from;
    let mut sender = Sender::open(address, config)?;
    match hops {
        Some(0) if !sender.destination().ip().is_multicast() => {
            bail!("a datagram to a host needs a hop limit of 1 at least; write --hops 1")
        }
        Some(hops) => sender.set_hops(hops)?,
        None => {}
    }
    Ok(sender)
}

/// The interface that is sent by, with a warning where nobody beyond this host can receive by it.
pub(in crate::commands) fn warn_of_interface(
    sender: &Sender,
    output: &Output,
) -> anyhow::Result<Option<Interface>> {
    let index = sender.interface().index;
    let mut interfaces = manycast::interfaces()?.into_iter();
    let found = interfaces.find(|found| found.index == index);
    let is_group = sender.destination().ip().is_multicast();
    // Whoever names the interface means it.
    let is_named = sender.address().interface().is_some();
    if let Some(found) = &found {
        let name = &found.name;
        if found.up && !found.running {
            output.warn(format_args!(
                "{name} has no carrier: nobody beyond this host can receive this"
            ));
        } else if found.kind == "loopback" && is_group && !is_named {
            output.warn(format_args!(
                "it leaves by {name}, which nobody beyond this host can receive from; -i IFACE \
                 chooses another interface, and 'manycast interfaces' tells what is wrong with it"
            ));
        }
    }
    Ok(found)
}

fn remark_on_hops(sender: &Sender, output: &Output) {
    match sender.hops() {
        0 => output.warn(
            "a hop limit of 0 means this host alone, but Linux keeps to that only where this host \
             is a member of the group itself; elsewhere the datagram leaves",
        ),
        1 => output.detail(format_args!(
            "hop limit 1: the datagrams stay on the link of {}; '--hops 8' crosses up to seven \
             routers that forward the group",
            sender.interface()
        )),
        _ => {}
    }
}

/// A host that was not reached.
#[derive(Serialize)]
struct Trouble {
    event: &'static str,
    to: String,
    errno: i32,
    #[serde(skip)]
    why: manycast::Error,
}

impl Trouble {
    fn new(sender: &Sender, unreachable: Unreachable) -> Self {
        let Unreachable { peer, errno, .. } = unreachable;
        let to = named(peer, &sender.interface());
        Self {
            event: if unreachable.is_refused() {
                "refused"
            } else {
                "unreachable"
            },
            to,
            errno,
            why: unreachable.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}
