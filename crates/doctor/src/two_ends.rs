//! This end: asks the far one to send, to count and to examine itself, and draws conclusions.

mod known;
mod session;
mod soak;
mod trials;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use manycast_net::ErrorKind;
use manycast_proto::probe::Key;
use manycast_types::{Address, Host, NetworkError};

use super::paths::{self, Toward, Trial};
use super::proof::{Doubt, Grade, Proof};
use super::rules::RuleCounters;
use super::{
    Code, Confidence, Context, Examination, FarWalk, Finding, Report, Severity, Snapshot, Step,
    Tally, Target, Watched, checks, examine_path, mtu, report, self_test,
};
use known::{Known, Rewritten, explains};
use manycast_io::{Error, IntoAddress};
use session::Session;

/// The far end, and how to ask it.
///
/// ```no_run
/// use manycast::doctor::{self, Examination, FarEnd, Key};
///
/// let far = FarEnd::new("192.0.2.7:49366")?.key(Some(Key::new("secret")));
/// let report = doctor::examine_with("239.1.1.1:5000", &Examination::default(), &far)?;
/// println!("{}", report.verdict());
/// # Ok::<(), manycast::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FarEnd {
    /// Where a [`Server`](super::Server) serves: `HOST:PORT`.
    pub address: Address,
    /// The key that it was given; none by default.
    pub key: Option<Key>,
    /// How long to go on, a datagram or two a second: beyond 260 s, after which switches forget a
    /// membership that is not reported again; not at all by default.
    pub soak: Option<Duration>,
}

impl FarEnd {
    /// The one at this address, `HOST:PORT`; the port is [`DEFAULT_PORT`](crate::DEFAULT_PORT) unless
    /// its [`Server`](crate::Server) was given another one.
    ///
    /// # Errors
    ///
    /// The text is no address.
    pub fn new(address: impl IntoAddress) -> Result<Self, Error> {
        Ok(Self {
            address: address.into_address()?,
            key: None,
            soak: None,
        })
    }

    /// Sets the key that it was given.
    #[must_use]
    pub fn key(mut self, key: Option<Key>) -> Self {
        self.key = key;
        self
    }

    /// Sets how long to go on.
    #[must_use]
    pub const fn soak(mut self, duration: Option<Duration>) -> Self {
        self.soak = duration;
        self
    }
}

/// As [`examine`](crate::examine), but together with the far end: numbered datagrams go in both directions, by
/// unicast and to the group, with several hop limits and sizes, and both hosts look for what is
/// wrong on themselves. What the far host finds bears its name ([`Finding::host`]).
///
/// # Errors
///
/// As [`examine`](crate::examine); and when no far end answers, or none that speaks the same version of the
/// protocol.
pub fn examine_with(
    address: impl IntoAddress,
    how: &Examination,
    far: &FarEnd,
) -> Result<Report, Error> {
    let target = super::target(&address.into_address()?)?;
    if !target.is_group() {
        return Err(Error::unsuitable(
            &target.address,
            "two ends try a group; write GROUP:PORT",
        ));
    }
    if *far.address.host() == Host::Any {
        return Err(Error::unsuitable(
            &far.address,
            "it names no host; write the one where 'manycast doctor serve' runs",
        ));
    }
    let host = Snapshot::read(Some(target.ip))?;
    let context = Context {
        target,
        host,
        watched: None,
        program: None,
    };
    let (subject, group) = (context.target.address.to_string(), context.target.ip);
    if !checks::obstacles(&context).is_empty() {
        let findings = checks::all(&context);
        return Ok(Report::new(subject, &context, findings));
    }
    let rules = RuleCounters::open();
    let mut session = Session::open(&context, how, far)?;
    let result = session.try_all().and_then(|()| match far.soak {
        Some(duration) => session.soak(duration),
        None => Ok(()),
    });
    // What it listened on must not be taken for another program's, nor get its datagrams.
    let mut known = std::mem::take(&mut session.known);
    drop(session);
    let lost = match result {
        Ok(()) => None,
        Err(Error::Stopped) if how.cancellation.is_requested() => None,
        // Of a soak, what came before is worth telling.
        Err(_) if known.soak.is_some() => Some(fell_silent(&known)),
        Err(error) => return Err(error),
    };

    let mut between = paths::findings(
        &context.target,
        &known.trials,
        known.soak.as_ref(),
        &known.far,
    );
    between.extend(lost);
    if checks::querier::may_be_forgotten(&context) {
        member_before(&context, &mut between);
    }
    if let (Some(link), Some(examined)) = (context.host.interface(known.link), &known.examined) {
        mtu::compare(link, &known.far, &examined.steps, &mut between);
    }
    no_room(&context, &known, &mut between);
    between.extend(rewritten(&context.target, &known));
    let to = SocketAddr::new(group, context.target.port);
    // Read where they matter alone, before anything else is sent.
    let rules = known.refused.is_some().then_some(rules).flatten();
    let rules = rules.and_then(|rules| rules.close_sent(to, &context.host));
    let refused = known.refused.as_ref();
    let refused = refused.and_then(|error| {
        let held_back = || held_back(group, error);
        paths::cannot_send(&context, error, known.held_by_ipsec, rules.as_ref()).or_else(held_back)
    });
    let mut report = here(context, how, &known, &mut between)?;
    if report.received > 0 {
        outranked(&mut between);
    }
    there(&mut known, &mut between);
    if report.received > 0 {
        // Where it is received, nobody misses the route.
        let missed = |found: &Finding| found.severity == Severity::Fault;
        between.retain(|found| found.code != Code::NoRoute || missed(found));
    }
    let is_open = paths::passes(&known.trials, Toward::Here);
    if known.far_refused {
        far_held_back(&known, group, &mut between);
    }
    if is_open && report.received == 0 && report.is_healthy() && !how.cancellation.is_requested() {
        let blocked = |finding: &Finding| finding.severity == Severity::Fault;
        let is_blocked = between.iter().chain(&refused).any(blocked);
        between.push(nothing_sent(&report.subject, &known, how, is_blocked));
    }
    let steps = known.examined.map(|examined| examined.steps);
    report.far = Some(FarWalk {
        host: known.far,
        steps: steps.unwrap_or_default(),
    });
    report.add(between);
    // What came at first has gone the whole way, and ceased nevertheless.
    let has_ceased = known.soak.is_some_and(|soak| soak.silent_after.is_some());
    let ceased = [Code::NoQuerier, Code::NotArriving];
    let mut here = report.findings.iter();
    if let Some(found) = here.find(|found| has_ceased && ceased.contains(&found.code)) {
        report::mark_ceased(&mut report.steps, found.code.step(), &found.title);
    }
    // Who could not send has broken the walk to the other host.
    if known.far_refused && !is_open {
        report::mark(&mut report.steps, Step::Egress, "the far host cannot send");
    }
    if let (Some(far), Some(refused)) = (&mut report.far, refused) {
        report::mark(&mut far.steps, Step::Egress, &refused.title);
        report.add_unmarked([refused]);
    }
    report.trials = known.trials;
    report.soak = known.soak;
    report.notes.extend(known.notes);
    report.cancelled_after = how.cancellation.after();
    Ok(report)
}

/// The walk on this host: of what others send, where the path is open; otherwise of what the far
/// end sent.
fn here(
    mut context: Context,
    how: &Examination,
    known: &Known,
    between: &mut Vec<Finding>,
) -> Result<Report, Error> {
    let is_open = paths::passes(&known.trials, Toward::Here);
    let subject = context.target.address.to_string();
    // Where it came by another interface, there is nothing to try the firewall for.
    let none_lost = known.lost_rounds.iter().all(|(_, sent)| *sent == 0);
    let self_tests = if is_open || none_lost || context.shares_port() {
        Vec::new()
    } else {
        let (target, host) = (&context.target, &context.host);
        self_test::run(target, &known.joined, host, false, &how.cancellation)
    };
    let mut lost = Vec::new();
    for (watched, sent) in &known.lost_rounds {
        context.watched = Some(Watched {
            self_tests: self_tests.clone(),
            ..watched.clone()
        });
        if *sent == 0 {
            continue;
        }
        lost = paths::weigh(checks::all(&context), &context, (*sent).into());
        if lost.iter().any(explains) {
            break;
        }
    }
    if known.rewritten.is_some() {
        // They do come to this host, and are refused for their source.
        between.retain(|finding| finding.code != Code::NotArriving || finding.host.is_some());
    }
    // What this host does with them is surer than that they do not come.
    lost.retain(|finding| finding.code != Code::NotArriving);
    let explained = lost.iter().any(explains);
    if explained {
        let far = Some(&known.far);
        between.retain(|finding| {
            let elsewhere = finding.code == Code::EgressOtherInterface
                || finding.code == Code::NotArriving && finding.host.is_none();
            !elsewhere || finding.code == Code::EgressOtherInterface && finding.host.as_ref() != far
        });
    }
    if !is_open {
        return Ok(Report::new(subject, &context, lost));
    }
    let mut report = if how.cancellation.is_requested() {
        context.watched = None;
        let findings = checks::all(&context);
        Report::new(subject, &context, findings)
    } else {
        examine_path(&context.target.address, how, true)?
    };
    // The path is open, so what does not come is not sent.
    let mut wrong = vec![Code::NotArriving];
    if known.refused.is_some() {
        // That this host could not send is told already.
        wrong.extend([Code::FirewallDrops, Code::IpsecDrops]);
    }
    report.without(&wrong);
    if explained {
        lost.retain(|finding| finding.severity == Severity::Fault);
        report.add(lost);
    }
    Ok(report)
}

/// Adds what the far host has found on itself to what the trials tell.
fn there(known: &mut Known, between: &mut Vec<Finding>) {
    let Some(examined) = &mut known.examined else {
        return;
    };
    let far = Some(known.far.clone());
    let explained = examined.explains();
    let mut findings = std::mem::take(&mut examined.findings);
    let is_open = paths::passes(&known.trials, Toward::There);
    if explained {
        // It came there, and went no further: neither the path nor the interface is to blame.
        between.retain(|finding| match finding.code {
            Code::NotArriving => finding.host != far,
            Code::EgressOtherInterface => finding.host.is_some(),
            _ => true,
        });
    }
    let could_not_send = [
        Code::FirewallDrops,
        Code::IpsecDrops,
        Code::NoRoute,
        Code::InterfaceDown,
        Code::InterfaceNotMulticast,
    ];
    let refuses = |finding: &Finding| could_not_send.contains(&finding.code) && explains(finding);
    if known.far_refused && findings.iter().any(refuses) {
        between.retain(|finding| finding.code != Code::NotArriving || finding.host.is_some());
    }
    // An interface that cannot multicast is passed over, whatever the routes say.
    let passed_over =
        |finding: &Finding| finding.code == Code::InterfaceNotMulticast && explains(finding);
    if findings.iter().any(passed_over) {
        between.retain(|finding| finding.code != Code::EgressOtherInterface || finding.host != far);
    }
    for finding in &mut findings {
        if finding.code == Code::NotArriving {
            finding.severity = Severity::Warning;
        }
        let same = |other: &&mut Finding| (other.code, &other.host) == (finding.code, &far);
        // The far host knows names and counts, and the trials know what came of it.
        if let Some(tried) = between.iter_mut().find(same) {
            tried.evidence.append(&mut finding.evidence);
            if finding.code == Code::EgressOtherInterface {
                tried.remedy = finding.remedy.take().or_else(|| tried.remedy.take());
            }
        }
    }
    if is_open {
        findings.retain(|finding| finding.code != Code::NotArriving);
    }
    between.extend(findings);
}

/// What the trials met with settings of their own keeps no stream away that comes nevertheless: its
/// sender has other ones.
fn outranked(between: &mut [Finding]) {
    let of_settings = [
        Code::HopLimit,
        Code::EgressOtherInterface,
        Code::Fragmentation,
    ];
    for finding in between.iter_mut() {
        if of_settings.contains(&finding.code) && finding.severity == Severity::Fault {
            finding.severity = Severity::Warning;
            finding.evidence.push(
                "the stream itself comes, so that this was met by the trial alone".to_owned(),
            );
        }
    }
}

/// What the far end sends does not come, and the kernel tells switches of a group once, whoever joins it
/// besides.
fn member_before(context: &Context, between: &mut [Finding]) {
    let of_here = |found: &&mut Finding| found.code == Code::NotArriving && found.host.is_none();
    for finding in between.iter_mut().filter(of_here) {
        let anew = checks::not_arriving::report_anew(context);
        let others = finding.remedy.take().unwrap_or_default();
        finding
            .evidence
            .push(checks::not_arriving::MEMBER_BEFORE.to_owned());
        finding.remedy = Some(format!(
            "{anew}: where it comes then, a switch had forgotten this host (no-querier); {others}"
        ));
    }
}

/// What was sent in pieces came, and this host had no room to put it together.
fn no_room(context: &Context, known: &Known, between: &mut [Finding]) {
    let Tally {
        unassembled,
        fragments,
        ..
    } = known.pieces;
    if !checks::fragmentation::no_room(&known.pieces) {
        return;
    }
    let of_here = |found: &&mut Finding| found.code == Code::Fragmentation && found.host.is_none();
    for finding in between.iter_mut().filter(of_here) {
        finding.title = format!(
            "what {} sends in pieces comes, and this host has no room to put it together",
            known.far
        );
        finding.evidence.push(format!(
            "of {fragments} fragments that came, {unassembled} failed at once"
        ));
        finding.remedy = Some(checks::fragmentation::more_room(context));
    }
}

/// What the far end sent as a source that was asked for came from another one.
fn rewritten(target: &Target, known: &Known) -> Option<Finding> {
    let (asked, rewritten) = (known.source?, known.rewritten.as_ref()?);
    let far = &known.far;
    let Rewritten { source, came, sent } = rewritten;
    let port = target.port;
    let better = Address::from(SocketAddr::new(target.ip, port));
    let family = if target.is_ipv4() { "ip" } else { "ip6" };
    Some(
        Finding::fault(
            Code::WrongSource,
            Grade::proved_if(came == sent, Proof::Seen),
            format!("what {far} sends as {asked} comes from {source}"),
        )
        .because(format!(
            "of {sent} datagrams that {far} sent as {asked}, {came} came from {source} once any source \
             was admitted, and none from {asked}"
        ))
        .because(
            "something between writes another source: a translation of addresses (SNAT, masquerading) \
             of that host, or of a router",
        )
        .remedy(format!(
            "ask for the source that they bear: {source}@{better}; or let the translation leave \
             the group alone, where its chain is '{family} nat postrouting': sudo nft insert rule \
             {family} nat postrouting {family} daddr {} accept; what was translated goes on until it \
             is forgotten: sudo conntrack -D -p udp --orig-dst {}",
            target.ip, target.ip
        ))
        .confirm("where it is translated: sudo nft list ruleset; sudo conntrack -L -p udp"),
    )
}

/// The far host refused to send all or some: where it does not say why itself, that is told.
fn far_held_back(known: &Known, group: IpAddr, between: &mut Vec<Finding>) {
    let far = &known.far;
    let tells = |finding: &Finding| explains(finding) && finding.host.as_ref() == Some(far);
    if !between.iter().any(tells) {
        between.push(refusal(group, far).of(Some(far.clone())));
    }
}

/// Something holds back what a host sends, and the kernel gives no reason but want of room.
fn held_back(group: IpAddr, error: &NetworkError) -> Option<Finding> {
    (error.kind == ErrorKind::LimitReached)
        .then(|| refusal(group, "this host").because(error.message.clone()))
}

fn refusal(group: IpAddr, host: &str) -> Finding {
    Finding::fault(
        Code::FirewallDrops,
        // A queue that is full looks the same as a rule.
        Doubt::Likely,
        format!(
            "something on {host} keeps what it sends to {group}, or a part of it, from leaving"
        ),
    )
    .because(format!(
        "its kernel refused to send a few short datagrams to {group}"
    ))
    .because(
        "so do rules at the output and the egress hook, filters of tc, programs of control groups, \
         and a queue that is full",
    )
    .confirm("sudo nft list ruleset; sudo tc -s qdisc; sudo bpftool cgroup tree")
}

/// The far end answered for a while, and then no more.
fn fell_silent(known: &Known) -> Finding {
    let lasted = known.soak.map_or(Duration::ZERO, |soak| soak.lasted);
    let far = &known.far;
    Finding::fault(
        Code::NotArriving,
        Doubt::Likely,
        format!(
            "{far} ceased to answer after {:.0} s, to unicast as well",
            lasted.as_secs_f64()
        ),
    )
    .because("its answers came until then")
    .remedy(format!(
        "see whether 'manycast doctor serve' still runs on {far}, and whether the host can be \
         reached"
    ))
}

fn nothing_sent(subject: &str, known: &Known, how: &Examination, is_blocked: bool) -> Finding {
    let came = |trial: &&Trial| trial.to_group && trial.toward == Toward::Here && trial.came > 0;
    let (sent, came) = known
        .trials
        .iter()
        .filter(came)
        .fold((0_u32, 0_u32), |(sent, came), trial| {
            (sent + u32::from(trial.sent), came + u32::from(trial.came))
        });
    let far = &known.far;
    let title = if known.is_stand_in {
        format!("the path from {far} is open, and nobody seems to send to {subject}")
    } else {
        format!("the path is open, and nobody seems to send to {subject}")
    };
    // That the path is open is proved; that nobody sends is not, by silence alone.
    let finding = Finding::fault(Code::NothingSent, Doubt::Likely, title)
        .because(format!(
            "{came} of {sent} datagrams of {far} came to group and port, and in {:.1} s not one of \
         anybody else",
            how.duration.as_secs_f64()
        ))
        .remedy(format!(
            "start the sender, and see where it sends to: on its host, 'manycast doctor {subject} \
         --pid PID'; where it sends seldom, watch longer (--for 60s)"
        ));
    if is_blocked {
        // It may be sent, and not get here.
        return Finding {
            severity: Severity::Warning,
            confidence: Confidence::Possible,
            ..finding
        };
    }
    finding
}
