//! Why nothing arrives.
//!
//! The doctor walks the way of a datagram and stops at the first step that is broken:
//!
//! ```text
//! sent → left by the right interface → arrived → reverse path → membership
//!      → firewall → port and bind → buffer → application
//! ```
//!
//! It listens as [`listen`](manycast_io::listen) would, and reads the kernel's counters before and
//! after. Each check of `checks/` is a function of what was recorded, and reads nothing itself. No
//! privilege is needed, and nothing of the host is changed: no sysctl, route or firewall rule is
//! written.
//!
//! ```no_run
//! use manycast::doctor::{self, Examination};
//!
//! let report = doctor::examine("239.1.1.1:5000", &Examination::default())?;
//! println!("{}", report.verdict());
//! for finding in &report.findings {
//!     println!("{} ({}): {}", finding.code, finding.confidence, finding.title);
//! }
//! # Ok::<(), manycast::Error>(())
//! ```

mod answers;
mod apart;
mod between;
mod cancellation;
mod capture;
mod ceased;
mod checks;
mod code;
mod context;
mod explanation;
mod far;
mod finding;
mod flow;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod masters;
mod mtu;
mod notes;
mod paths;
mod program;
mod proof;
mod report;
mod rules;
mod self_test;
mod serve;
mod surroundings;
mod tally;
#[cfg(test)]
mod tests;
mod two_ends;
mod watch;

use std::time::Duration;

use manycast_types::{Address, SourceFilter};

pub use answers::{blocked_answers, examine_answers};
pub use cancellation::Cancellation;
pub use code::{Code, Step};
pub use finding::{Confidence, Finding, Severity};
pub use host::counters::{CounterTables, Counters, InterfaceCounters};
pub use host::examine_host;
pub use host::firewall::{FirewallRule, firewall_rules, legacy_firewall_tables};
pub use host::foreign::{SocketOwner, socket_owners};
pub use host::open_sockets::{OpenSocket, open_sockets};
pub use manycast_proto::probe::{DEFAULT_PORT, Key};
pub use notes::Notes;
pub use paths::{Soak, Toward, Trial};
pub use report::{FarWalk, Mark, Report, StepState};
pub use serve::{Served, Server};
pub use two_ends::{FarEnd, examine_with};

use capture::{Captured, CapturedStream, Pieces, Querier};
use context::{
    Context, Moved, Obstacle, Program, ProgramSocket, Refusal, SelfTest, Snapshot,
    SocketMembership, Target, Watched,
};
use flow::Flow;
use host::conntrack::Translation;
use host::foreign::ForeignSocket;
use host::ipsec::IpsecPolicy;
use host::links::LinkState;
use host::multicast_routes::MulticastRoute;
use host::packets::Frame;
use manycast_io::{Error, IntoAddress};
use rules::Rules;
use surroundings::Surroundings;
use tally::Tally;

/// How to examine.
///
/// ```
/// use std::time::Duration;
///
/// use manycast::doctor::{Examination, ProgramChoice};
///
/// let how = Examination::default()
///     .duration(Duration::from_secs(30))
///     .program(Some(ProgramChoice::Pid(4711)));
/// assert_eq!(how.expected_rate, None);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examination {
    /// How long to listen, at least [`SHORTEST`](Self::SHORTEST); ten seconds by default. What comes of
    /// trying other interfaces and sources, where nothing came, is added to it.
    pub duration: Duration,
    /// Which program to explain; by default none, but what this host receives.
    pub program: Option<ProgramChoice>,
    /// How many datagrams a second are to come; by default it is not known, and what is lost before
    /// this host does not show.
    pub expected_rate: Option<f64>,
    /// Ends it before its time.
    pub cancellation: Cancellation,
    /// Whom to tell what must be known while it goes on; by default nobody. All of it is in the
    /// report too.
    pub notes: Notes,
}

/// Which program to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProgramChoice {
    /// The one with this process number.
    Pid(u32),
    /// Whichever have sockets on the port of the address.
    Port,
}

impl Examination {
    /// The least time that tells something: a host reports a membership for up to a second, and
    /// counters are watched after that.
    pub const SHORTEST: Duration = Duration::from_secs(2);

    /// Sets how long to listen.
    #[must_use]
    pub const fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Sets which program to explain.
    #[must_use]
    pub const fn program(mut self, program: Option<ProgramChoice>) -> Self {
        self.program = program;
        self
    }

    /// Sets how many datagrams a second are to come.
    #[must_use]
    pub const fn expected_rate(mut self, rate: Option<f64>) -> Self {
        self.expected_rate = rate;
        self
    }

    /// Sets what ends it before its time.
    #[must_use]
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Sets whom to tell what must be known while it goes on.
    #[must_use]
    pub fn notes(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }
}

impl Default for Examination {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(10),
            program: None,
            expected_rate: None,
            cancellation: Cancellation::default(),
            notes: Notes::default(),
        }
    }
}

/// Finds out what becomes of datagrams to a group, or to a local address, on this host.
///
/// It joins the group meanwhile, as a listener does. Where nothing comes, it also tries other
/// sources and interfaces, and sends ten datagrams with hop limit 0 to itself, unless another
/// program of this host would receive them.
///
/// # Errors
///
/// When the address is of another host, names an interface that is not there or has no port; when
/// there is no such program; when the kernel's tables cannot be read. Faults are no errors, but
/// findings.
pub fn examine(address: impl IntoAddress, how: &Examination) -> Result<Report, Error> {
    examine_path(&address.into_address()?, how, false)
}

/// The same, where datagrams of another host may be known to come to the address.
fn examine_path(address: &Address, how: &Examination, is_open: bool) -> Result<Report, Error> {
    let target = target(address)?;
    let subject = target.address.to_string();
    let mut notes = Vec::new();
    // No route leads to any address of this host.
    let is_any = target.ip.is_unspecified();
    let host = Snapshot::read((!is_any).then_some(target.ip))?;
    let mut context = Context {
        target,
        host,
        watched: None,
        program: None,
    };
    if !context.target.is_group() && !is_any && !context.host.has(context.target.ip) {
        if context.host.has_route {
            return Err(Error::unsuitable(
                &context.target.address,
                "it is of another host, and what arrives there is seen there; run the doctor on \
                 that host, or give a group",
            ));
        }
    } else if checks::obstacles(&context).is_empty() {
        match how.program {
            None => {
                how.cancellation.begin();
                context.watched = Some(watch::watch(&context, how)?);
            }
            Some(choice) => {
                let examined = program::Examined::find(choice, &context)?;
                how.cancellation.begin();
                context.watched = Some(watch::watch_program(&context, how)?);
                context.program = Some(examined.finish(&context.host)?);
            }
        }
    }
    if let Some(watched) = &mut context.watched {
        watched.expected_rate = how.expected_rate;
        watched.is_open = is_open;
    }
    let mut findings = checks::of_each(&context);
    if context.target.is_group() && context.received() > 0 {
        // Where it is received, nobody misses the route.
        findings.retain(|found| found.code != Code::NoRoute);
    }
    if how.duration < Examination::SHORTEST && context.watched.is_some() {
        notes.push(format!(
            "watched for {:.0} s, the least that tells something: a host reports a membership for up to \
             a second",
            Examination::SHORTEST.as_secs_f64()
        ));
    }
    notes.extend(answers::note(&context.target, context.program.as_ref()));
    let cancelled_after = how.cancellation.after();
    if cancelled_after.is_some() {
        // What did not come until then may have come a little later.
        let missed = [Code::NotArriving, Code::NothingSent];
        for finding in findings
            .iter_mut()
            .filter(|found| missed.contains(&found.code))
        {
            finding.confidence = finding.confidence.max(Confidence::Likely);
        }
    }
    let report = Report::new(subject, &context, findings);
    Ok(Report {
        cancelled_after,
        notes,
        ..report
    })
}

/// Resolves an address to what can be listened on.
fn target(address: &Address) -> Result<Target, Error> {
    if address.port() == 0 {
        return Err(Error::unsuitable(
            address,
            "it names no port; write GROUP:PORT",
        ));
    }
    let Some(resolved) = manycast_io::resolve(address)?.into_iter().next() else {
        return Err(Error::unsuitable(address, "its name has no address"));
    };
    let interface = match address.interface() {
        Some(selector) => Some(manycast_net::find_interface(selector)?.id()),
        None => None,
    };
    Ok(Target {
        address: address.clone(),
        ip: resolved.ip(),
        port: resolved.port(),
        interface,
        sources: address
            .group()
            .map_or_else(SourceFilter::any, |group| group.sources),
        asked: None,
    })
}
