//! Groups that are asked, and whose members answer by unicast.
//!
//! A firewall that follows connections does not know such answers: the question went to a group, and they
//! come from a host. So a rule that lets in what is `established` does not match them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Counters;
use manycast_net::{Interface, RecvBatch, Socket, SocketConfig};
use manycast_types::{Address, SourceFilter, Transmit, with_zone};

use super::watch::{self, Meter};
use super::{
    Code, Confidence, Context, Examination, Finding, Program, Report, Snapshot, Tally, Target,
    Watched, checks,
};
use manycast_io::{Error, IntoAddress, egress_to, seed};

/// Protocols that ask a group and are answered to the port that asked: port and name, and by which
/// standard.
const ASKED: [(u16, &str); 6] = [
    // RFC 2608 §6.1.
    (427, "SLP"),
    // UPnP Device Architecture 2.0 §1.3.
    (1900, "SSDP"),
    // WS-Discovery 1.1 §3.1.
    (3702, "WS-Discovery"),
    // RFC 6762 §6.7: to who asks from another port.
    (5353, "mDNS"),
    // RFC 4795 §2.3.
    (5355, "LLMNR"),
    // RFC 7252 §8.
    (5683, "CoAP"),
];

/// How often is asked: what is lost of the answers has to stand out from what is lost anyhow.
const QUESTIONS: u32 = 10;

/// How long is waited between two questions.
const PAUSE: Duration = Duration::from_millis(150);

/// For how long is counted before the first question what is lost anyhow, where nothing is captured.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// UPnP Device Architecture 2.0 §1.3.2: the hop limit of questions.
const HOPS: u8 = 2;

/// Asks a group, and finds out whether the answers, which its members send by unicast, come to the
/// program that asked. `None` asks as the protocol of the port does: SLP, SSDP, WS-Discovery, mDNS, CoAP.
///
/// It asks ten times by the interface that the address names, or else by the one that the route
/// chooses, and does not ask the programs of this host itself. The report is about the own address and
/// port that asked.
///
/// ```no_run
/// use manycast::doctor::{self, Examination};
///
/// let report = doctor::examine_answers("239.255.255.250:1900", None, &Examination::default())?;
/// println!("{}: {} answers", report.subject, report.received);
/// # Ok::<(), manycast::Error>(())
/// ```
///
/// # Errors
///
/// When the address is no group, no question is known for its port, or it cannot be asked: no interface
/// leads there, or sending is forbidden.
pub fn examine_answers(
    address: impl IntoAddress,
    question: Option<&[u8]>,
    how: &Examination,
) -> Result<Report, Error> {
    let group = super::target(&address.into_address()?)?;
    if !group.is_group() {
        return Err(Error::unsuitable(
            &group.address,
            "groups are asked; write GROUP:PORT",
        ));
    }
    let asked = SocketAddr::new(group.ip, group.port);
    let Some(question) = question.map(<[u8]>::to_vec).or_else(|| usual(asked)) else {
        return Err(Error::unsuitable(
            &group.address,
            "what to ask is known of the ports of SLP, SSDP, WS-Discovery, mDNS and CoAP alone; write \
             a question (--question)",
        ));
    };
    // A way to the group is not asked for where the interface is named, and the own address needs none.
    let host = Snapshot {
        has_route: true,
        ..Snapshot::read(None)?
    };
    let interface = interface(&group, &host)?;
    let source = own_address(&interface, asked).ok_or_else(|| {
        Error::unsuitable(
            &group.address,
            "the interface that leads there has no address to ask from",
        )
    })?;
    let config = SocketConfig::default()
        .multicast_hops(HOPS)
        .multicast_interface(Some(interface.index))
        .loopback(false)
        .report_unreachable(false);
    let socket = Socket::bind(
        with_zone(SocketAddr::new(source, 0), interface.index),
        &config,
    )?;
    let own = SocketAddr::new(source, socket.local_addr()?.port());
    let mut context = Context {
        target: Target {
            address: Address::from(own),
            ip: own.ip(),
            port: own.port(),
            interface: Some(interface.id()),
            sources: SourceFilter::any(),
            asked: Some(asked),
        },
        host,
        watched: None,
        program: None,
    };
    how.cancellation.begin();
    let mut watched = Watched::default();
    let meter = Meter::start(&context.target)?;
    if !meter.captures() {
        let before = Counters::read()?;
        how.cancellation.wait(QUIET);
        let quiet = Counters::read()?.since(&before);
        watched.quiet = Tally::of(&quiet, asked.is_ipv4());
    }
    let since = Counters::read()?;
    let began = Instant::now();
    let asking = Asking {
        socket: &socket,
        question: Transmit::new(with_zone(asked, interface.index), question.as_slice()),
        host: &context.host,
    };
    let duration = how.duration.max(Examination::SHORTEST);
    asking.listen(&mut watched, duration, how)?;
    meter.stop(&context, &since, &mut watched)?;
    watched.lasted = began.elapsed();
    context.watched = Some(watched);
    let findings = checks::all(&context);
    let report = Report::new(format!("answers to {}", group.address), &context, findings);
    Ok(Report {
        notes: vec![format!(
            "{} was asked {QUESTIONS} times from {own} by {}",
            group.address, interface.name
        )],
        cancelled_after: how.cancellation.after(),
        ..report
    })
}

/// What keeps the answers of a group from this host, where something is known that does; as
/// [`examine_answers`] in the shortest time. That nobody answers is not among it.
///
/// # Errors
///
/// Those of [`examine_answers`].
pub fn blocked_answers(
    address: impl IntoAddress,
    question: Option<&[u8]>,
) -> Result<Option<Finding>, Error> {
    let how = Examination::default().duration(Examination::SHORTEST);
    let report = examine_answers(address, question, &how)?;
    let fault = (!report.is_healthy()).then(|| report.findings.into_iter().next());
    let known = |finding: &Finding| {
        finding.confidence <= Confidence::Likely && finding.code != Code::NotArriving
    };
    Ok(fault.flatten().filter(known))
}

/// The interface that is named, or that the route chooses.
fn interface(group: &Target, host: &Snapshot) -> Result<Interface, Error> {
    let found = match &group.interface {
        Some(named) => host.interface(named.index).cloned(),
        None => egress_to(group.ip, None)?,
    };
    found.ok_or_else(|| Error::unsuitable(&group.address, "no interface leads there"))
}

/// An address to ask from: of IPv6, one that the members reach as well.
fn own_address(interface: &Interface, asked: SocketAddr) -> Option<IpAddr> {
    let of_link = |own: IpAddr| matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
    let mut usable: Vec<IpAddr> = interface
        .addresses
        .iter()
        .filter(|own| own.address.is_ipv4() == asked.is_ipv4() && own.is_usable())
        .map(|own| own.address)
        .collect();
    // RFC 4291 §2.7: to groups of the link, from addresses of the link.
    let scope_of_link = matches!(asked.ip(), IpAddr::V6(group) if group.octets()[1] & 0xf == 2);
    usable.sort_by_key(|own| of_link(*own) != scope_of_link);
    usable.first().copied()
}

/// Asks and listens.
struct Asking<'a> {
    socket: &'a Socket,
    question: Transmit<&'a [u8]>,
    host: &'a Snapshot,
}

impl Asking<'_> {
    /// Asks a few times, and listens until something came, or the time is over.
    fn listen(
        &self,
        watched: &mut Watched,
        duration: Duration,
        how: &Examination,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let mut batch = RecvBatch::with_capacity(16);
        let mut questions = 0;
        while !how.cancellation.is_requested() && began.elapsed() < duration {
            if questions < QUESTIONS && began.elapsed() >= PAUSE * questions {
                self.socket.send(&self.question)?;
                questions += 1;
            }
            let until = if questions < QUESTIONS {
                PAUSE * questions
            } else {
                duration
            };
            // Ctrl-C ends it too.
            let left = until.saturating_sub(began.elapsed()).min(PAUSE);
            self.socket.recv_batch(&mut batch, Some(left))?;
            for index in 0..batch.len() {
                if let Some(answer) = batch.get(index)
                    && !self.host.has(answer.source.ip())
                {
                    let own = answer.destination.ip();
                    let is_told = watch::count(&mut watched.exact, own, &answer, began.elapsed());
                    watched.beyond += u64::from(!is_told);
                }
            }
            if questions == QUESTIONS && !watched.exact.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// The question that the protocol of a port asks all its members.
fn usual(asked: SocketAddr) -> Option<Vec<u8>> {
    let [a, b, ..] = seed();
    Some(match asked.port() {
        // RFC 2608 §8.1: a request for services (1) in version 2, to a group, in English, for all
        // agents of services.
        427 => {
            let mut rest = vec![0, 2, b'e', b'n', 0, 0];
            for text in ["service:service-agent", "DEFAULT", "", ""] {
                rest.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
                rest.extend(text.bytes());
            }
            let length = u8::try_from(rest.len() + 12).unwrap_or(u8::MAX);
            let head = [2, 1, 0, 0, length, 0x20, 0, 0, 0, 0, a, b];
            [&head[..], &rest].concat()
        }
        1900 => format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {asked}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: \
             upnp:rootdevice\r\n\r\n"
        )
        .into_bytes(),
        3702 => {
            let id = seed().map(|byte| format!("{byte:02x}")).concat();
            format!(
                "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
                 xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
                 xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\"><s:Header><a:Action>\
                 http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action><a:MessageID>\
                 urn:uuid:{}-{}-4{}-8{}-{}</a:MessageID><a:To>\
                 urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header><s:Body><d:Probe/>\
                 </s:Body></s:Envelope>",
                &id[..8],
                &id[8..12],
                &id[13..16],
                &id[17..20],
                &id[20..32]
            )
            .into_bytes()
        }
        // RFC 6763 §9: which services there are.
        5353 => [
            &[a, b, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            b"\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01",
        ]
        .concat(),
        // RFC 7252 §8.1 and RFC 6690 §4: GET coap://GROUP/.well-known/core, not confirmed.
        5683 => [&[0x50, 1, a, b][..], b"\xbb.well-known\x04core"].concat(),
        _ => return None,
    })
}

/// That the answers to a question are not watched here, and what does that.
pub(super) fn note(target: &Target, program: Option<&Program>) -> Option<String> {
    let (port, name) = ASKED.into_iter().find(|(port, _)| *port == target.port)?;
    if !target.is_group() {
        return None;
    }
    let address = &target.address;
    let version = |ip: IpAddr| ip.is_ipv4() == target.is_ipv4();
    let asks = program.into_iter().flat_map(|program| &program.sockets);
    let asks = asks.map(|found| found.socket.local);
    let asks = asks.filter(|local| ![0, port].contains(&local.port()) && version(local.ip()));
    let ports: Vec<String> = asks.map(|local| local.port().to_string()).collect();
    let to = if ports.is_empty() {
        "the port that asked".to_owned()
    } else {
        format!("the port that asked (here {})", ports.join(", "))
    };
    let question = match usual(SocketAddr::new(target.ip, port)) {
        Some(_) => "",
        None => " --question TEXT",
    };
    Some(format!(
        "members of {address} ({name}) answer by unicast, to {to}, and that is not watched here: a \
         firewall that lets the group in may drop the answers. To see whether they come: manycast doctor \
         {address} --answers{question}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    #[test]
    fn who_asks_a_group_is_told_of_the_answers() {
        let note = |address: &str| note(&target(&address.parse().unwrap()).unwrap(), None);
        for asked in ["239.255.255.250:1900", "[ff15::c]:3702", "224.0.0.252:5355"] {
            assert!(
                note(asked).is_some_and(|note| note.contains("--answers")),
                "{asked}"
            );
        }
        for other in ["239.1.2.3:5000", "127.0.0.1:1900"] {
            assert_eq!(note(other), None);
        }
    }

    #[test]
    fn a_question_is_as_long_as_it_says() {
        for (port, name) in ASKED {
            let question = usual(SocketAddr::new([239, 255, 255, 250].into(), port));
            assert_eq!(question.is_some(), name != "LLMNR", "{name}");
        }
        let slp = usual(([239, 255, 255, 253], 427).into()).unwrap();
        assert_eq!(usize::from(slp[4]), slp.len());
        // Its own length, and no list of those who have answered.
        assert_eq!(&slp[12..18], b"\0\x02en\0\0");
    }
}
