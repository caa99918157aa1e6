//! What is shown of a report: text for people, or one object.

use std::collections::BTreeMap;
use std::fmt;

use manycast::doctor::{self, Confidence, Finding, Mark, Severity, Soak, StepState, Toward, Trial};
use serde::Serialize;

use crate::output::counted;

/// What is shown of a report; as JSON, the one object that it is.
#[derive(Serialize)]
pub(super) struct Screen<'a> {
    subject: &'a str,
    verdict: &'static str,
    healthy: bool,
    /// Datagrams that came as they were asked for.
    received: u64,
    findings: Vec<Found<'a>>,
    steps: Vec<Walked<'a>>,
    /// The walk on the far host.
    #[serde(skip_serializing_if = "Option::is_none")]
    far: Option<Far<'a>>,
    /// What was tried between two ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trials: Vec<Tried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soak: Option<Soaked>,
    /// What must be known to read the rest.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_short_after: Option<f64>,
    /// By how much the kernel's counters moved meanwhile; only those that did.
    counters: &'a BTreeMap<String, u64>,
    /// The packets of interfaces meanwhile.
    interfaces: BTreeMap<&'a str, Carried>,
    #[serde(skip)]
    verbose: bool,
    /// The marks for right and wrong.
    #[serde(skip)]
    marks: [String; 2],
}

#[derive(Serialize)]
struct Found<'a> {
    code: &'static str,
    host: Option<&'a str>,
    severity: &'static str,
    confidence: &'static str,
    title: &'a str,
    evidence: &'a [String],
    remedy: Option<&'a str>,
    confirm: Option<&'a str>,
    page: String,
}

#[derive(Serialize)]
struct Far<'a> {
    host: &'a str,
    steps: Vec<Walked<'a>>,
}

#[derive(Serialize)]
struct Soaked {
    seconds: f64,
    sent: u32,
    came: u32,
    /// In seconds since the group was joined.
    silent_after: Option<f64>,
    /// Once it was joined anew.
    came_again: bool,
}

#[derive(Serialize)]
struct Walked<'a> {
    step: &'static str,
    mark: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Tried {
    /// `here` or `there`.
    toward: &'static str,
    group: bool,
    /// To the group: by the interface that the route chooses.
    by_route: bool,
    hops: u8,
    size: u16,
    sent: u8,
    came: u8,
}

#[derive(Serialize)]
struct Carried {
    received: u64,
    sent: u64,
}

impl<'a> Screen<'a> {
    pub(super) fn new(report: &'a doctor::Report, verbose: bool, marks: [String; 2]) -> Self {
        let interfaces = report.counters.interfaces.iter().map(|(name, moved)| {
            let carried = Carried {
                received: moved.received,
                sent: moved.sent,
            };
            (name.as_str(), carried)
        });
        Self {
            subject: &report.subject,
            verdict: report.verdict().as_str(),
            healthy: report.is_healthy(),
            received: report.received,
            findings: report.findings.iter().map(Found::from).collect(),
            steps: report.steps.iter().map(Walked::from).collect(),
            far: report.far.as_ref().map(|far| Far {
                host: &far.host,
                steps: far.steps.iter().map(Walked::from).collect(),
            }),
            trials: report.trials.iter().map(Tried::from).collect(),
            soak: report.soak.as_ref().map(Soaked::from),
            notes: &report.notes,
            cut_short_after: report.cancelled_after.map(|after| after.as_secs_f64()),
            counters: &report.counters.values,
            interfaces: interfaces.collect(),
            verbose,
            marks,
        }
    }

    /// The walk, and beside it that on the far host.
    fn walk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HERE: &str = "to this host";
        let far = self.far.as_ref().filter(|far| !far.steps.is_empty());
        let there = far.map_or_else(String::new, |far| format!("to {}", far.host));
        if far.is_some() && !self.steps.is_empty() {
            write!(f, "\n  {:<12} {HERE}   {there}", "")?;
        }
        let width = there.chars().count();
        for (index, walked) in self.steps.iter().enumerate() {
            let mark = self.mark(walked);
            // The title of the fault stands above.
            let detail = if walked.mark == Mark::Broken.as_str() {
                ""
            } else {
                walked.detail
            };
            let line = match far.map(|far| far.steps.get(index)) {
                None => format!("  {mark} {:<12} {detail}", walked.step),
                Some(there) => {
                    let there = there.map_or("?", |walked| self.mark(walked));
                    let here = HERE.len();
                    format!(
                        "  {:<12} {mark:<here$}   {there:<width$}   {detail}",
                        walked.step
                    )
                }
            };
            write!(f, "\n{}", line.trim_end())?;
        }
        if self.steps.is_empty() {
            Ok(())
        } else {
            writeln!(f)
        }
    }

    fn mark(&self, walked: &Walked<'_>) -> &str {
        let [right, wrong] = &self.marks;
        match walked.mark {
            mark if mark == Mark::Passed.as_str() => right,
            mark if mark == Mark::Broken.as_str() => wrong,
            mark if mark == Mark::Unknown.as_str() => "?",
            _ => "·",
        }
    }
}

impl<'a> From<&'a StepState> for Walked<'a> {
    fn from(state: &'a StepState) -> Self {
        Self {
            step: state.step.as_str(),
            mark: state.mark.as_str(),
            detail: &state.detail,
        }
    }
}

impl From<&Soak> for Soaked {
    fn from(soak: &Soak) -> Self {
        Self {
            seconds: soak.lasted.as_secs_f64(),
            sent: soak.sent,
            came: soak.came,
            silent_after: soak.silent_after.map(|after| after.as_secs_f64()),
            came_again: soak.revived,
        }
    }
}

impl From<&Trial> for Tried {
    fn from(trial: &Trial) -> Self {
        Self {
            toward: match trial.toward {
                Toward::Here => "here",
                Toward::There => "there",
            },
            group: trial.to_group,
            by_route: trial.by_route,
            hops: trial.hops,
            size: trial.size,
            sent: trial.sent,
            came: trial.came,
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (toward, sent, came) = (self.toward, self.sent, self.came);
        if !self.group {
            return write!(f, "{came} of {sent} came {toward} by unicast");
        }
        let Self { hops, size, .. } = self;
        let by = if self.by_route {
            ""
        } else {
            ", not by the route"
        };
        write!(
            f,
            "{came} of {sent} came {toward} by the group: hop limit {hops}, {size} bytes{by}"
        )
    }
}

impl<'a> From<&'a Finding> for Found<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            code: finding.code.as_str(),
            host: finding.host.as_deref(),
            severity: finding.severity.as_str(),
            confidence: finding.confidence.as_str(),
            title: &finding.title,
            evidence: &finding.evidence,
            remedy: finding.remedy.as_deref(),
            confirm: finding.confirm.as_deref(),
            page: finding.page(),
        }
    }
}

impl fmt::Display for Screen<'_> {
    /// The verdict, the walk, and what to do of the first fault and of those that are proved; what is
    /// less important by name only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [right, wrong] = &self.marks;
        let first = self.findings.first().filter(|_| !self.healthy);
        let subject = self.subject;
        match first {
            None if self.received == 0 => {
                wrapped(f, "", &format!("{right} {subject}: no fault was found"))?;
            }
            None => {
                let received = counted(self.received, "datagram");
                let line = format!("{right} {subject}: delivered, {received}");
                wrapped(f, "", &line)?;
            }
            Some(first) => {
                wrapped(f, "", &format!("{wrong} {subject}: {}", first.title))?;
                writeln!(f, "  {}", first.name())?;
            }
        }
        for note in self.remarks() {
            wrapped(f, "  ", &note)?;
        }
        self.walk(f)?;
        if self.verbose {
            let tried: Vec<String> = self.trials.iter().map(ToString::to_string).collect();
            section(f, "tried", tried.iter().map(String::as_str))?;
        }
        let mut named: Vec<String> = Vec::new();
        for (index, found) in self.findings.iter().enumerate() {
            let is_first = index == 0 && !self.healthy;
            if is_first || found.is_proved_fault() || self.verbose {
                found.tell(f, !is_first)?;
            } else if let Some(same) = named.iter_mut().find(|name| **name == found.name_here()) {
                same.push_str(" of both");
            } else {
                named.push(found.name());
            }
        }
        if !named.is_empty() {
            writeln!(f)?;
            let line = format!("also: {}; -v tells more", named.join(", "));
            wrapped(f, "", &line)?;
        }
        if let Some(first) = first {
            write!(f, "\nread on: manycast doctor --explain {}", first.code)?;
        }
        Ok(())
    }
}

impl Screen<'_> {
    /// What must be known to read the rest.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(after) = self.cut_short_after {
            remarks.push(format!(
                "cut short after {after:.1} s: what is told here is what was known until then"
            ));
        }
        remarks.extend(self.notes.iter().cloned());
        if let Some(soak) = &self.soak {
            let Soaked { came, sent, .. } = soak;
            let seconds = soak.seconds;
            remarks.push(format!(
                "soak: {came} of {sent} datagrams came to this host in {seconds:.0} s"
            ));
        }
        remarks
    }
}

impl Found<'_> {
    /// The code, how sure it is, and of which host.
    fn name(&self) -> String {
        let name = self.name_here();
        match self.host {
            Some(host) => format!("{name} of {host}"),
            None => name,
        }
    }

    /// Whether it has to be mended, whatever else is.
    fn is_proved_fault(&self) -> bool {
        let told = (self.severity, self.confidence);
        told == (Severity::Fault.as_str(), Confidence::Proved.as_str())
    }

    /// The same, were it of this host.
    fn name_here(&self) -> String {
        format!("{} ({})", self.code, self.confidence)
    }

    fn tell(&self, f: &mut fmt::Formatter<'_>, titled: bool) -> fmt::Result {
        if titled {
            writeln!(f)?;
            let Self {
                severity, title, ..
            } = self;
            wrapped(f, "", &format!("{severity}: {title}"))?;
            writeln!(f, "  {}", self.name())?;
        }
        let of_host = |what: &str| match self.host {
            Some(host) => format!("{what}, on {host}"),
            None => what.to_owned(),
        };
        section(f, "why", self.evidence.iter().map(String::as_str))?;
        advice(f, &of_host("to mend it"), self.remedy)?;
        advice(f, &of_host("to be sure"), self.confirm)
    }
}

/// A titled list of sentences, each on lines of its own.
fn section<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> fmt::Result {
    for (index, line) in lines.into_iter().enumerate() {
        if index == 0 {
            writeln!(f, "\n  {title}:")?;
        }
        wrapped(f, "    ", line)?;
    }
    Ok(())
}

/// What to do, under a title. A command has a line of its own, which is not broken, so that it can
/// be copied.
fn advice(f: &mut fmt::Formatter<'_>, title: &str, text: Option<&str>) -> fmt::Result {
    let Some(text) = text else {
        return Ok(());
    };
    writeln!(f, "\n  {title}:")?;
    for clause in clauses(text) {
        match command_in(clause) {
            Some(("", command)) => writeln!(f, "    {command}")?,
            Some((reason, command)) => {
                wrapped(f, "    ", reason)?;
                writeln!(f, "      {command}")?;
            }
            None => wrapped(f, "    ", clause)?,
        }
    }
    Ok(())
}

/// What stands between semicolons, but for those within quotes of a command.
fn clauses(text: &str) -> Vec<&str> {
    let mut clauses = Vec::new();
    let (mut begin, mut quoted, mut before) = (0, false, ' ');
    for (at, character) in text.char_indices() {
        match character {
            // One within a word is an apostrophe.
            '\'' => quoted = !quoted && before == ' ',
            ' ' if before == ';' && !quoted => {
                clauses.push(&text[begin..at - 1]);
                begin = at + 1;
            }
            _ => {}
        }
        before = character;
    }
    clauses.push(&text[begin..]);
    clauses
}

/// Parts a clause into what it says, with its colon, and the command at its end, if there is one.
fn command_in(clause: &str) -> Option<(&str, &str)> {
    let is_command = |text: &str| {
        let first = text.split(' ').next();
        first.is_some_and(|first| ["sudo", "ip", "manycast"].contains(&first))
    };
    if is_command(clause) {
        return Some(("", clause));
    }
    let (at, _) = clause
        .match_indices(": ")
        .find(|(at, _)| is_command(&clause[at + 2..]))?;
    Some((&clause[..=at], &clause[at + 2..]))
}

/// Text in lines of at most 80 columns, those after the first a little deeper.
fn wrapped(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    const WIDTH: usize = 80;
    let mut column = indent.len();
    f.write_str(indent)?;
    for (index, word) in text.split(' ').enumerate() {
        let length = visible(word);
        if index > 0 && column + 1 + length > WIDTH {
            write!(f, "\n{indent}  {word}")?;
            column = indent.len() + 2 + length;
        } else {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
            column += space.len() + length;
        }
    }
    writeln!(f)
}

/// How many columns a word takes; a colour takes none.
fn visible(word: &str) -> usize {
    let mut in_colour = false;
    let shown = word.chars().filter(|character| match character {
        '\x1b' => {
            in_colour = true;
            false
        }
        'm' if in_colour => {
            in_colour = false;
            false
        }
        _ => !in_colour,
    });
    shown.count()
}

#[cfg(test)]
mod tests {
    use super::clauses;

    #[test]
    fn a_command_with_quotes_stays_whole() {
        let text = "let the sender's host wait; or: sudo nft add chain inet u c '{ type filter hook \
                    prerouting priority raw; }'; sudo nft add rule inet u c notrack";
        assert_eq!(
            clauses(text),
            [
                "let the sender's host wait",
                "or: sudo nft add chain inet u c '{ type filter hook prerouting priority raw; }'",
                "sudo nft add rule inet u c notrack",
            ]
        );
        assert_eq!(
            clauses("'ip route' shows it; give it one")[1],
            "give it one"
        );
        assert_eq!(clauses(""), [""]);
    }
}
