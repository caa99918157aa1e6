//! What is told of a delivery, as text and as JSON.

use std::fmt;
use std::time::Duration;

use manycast::Sent;
use manycast::transfer::files::{
    FileInfo, FileState, Progress, ReceiverProgress, ReceiverReport, SendReport,
};
use serde::Serialize;

use crate::output::{Escaped, Output, Span, counted, grouped, named};

/// That it begins.
#[derive(Serialize)]
pub(super) struct Started {
    event: &'static str,
    files: usize,
    bytes: u64,
    to: String,
    from: String,
    interface: String,
    hops: u8,
}

impl Started {
    pub(super) fn new(files: usize, bytes: u64, egress: &Sent) -> Self {
        Self {
            event: "started",
            files,
            bytes,
            to: named(egress.to, &egress.interface),
            from: named(egress.from, &egress.interface),
            interface: egress.interface.to_string(),
            hops: egress.hops,
        }
    }
}

/// That a receiver is there.
#[derive(Serialize)]
pub(super) struct Heard<'a> {
    event: &'static str,
    receiver: &'a str,
}

impl<'a> Heard<'a> {
    pub(super) const fn new(receiver: &'a str) -> Self {
        Self {
            event: "receiver",
            receiver,
        }
    }
}

/// What became of a file at a receiver.
#[derive(Serialize)]
pub(super) struct Ended<'a> {
    event: &'static str,
    receiver: &'a str,
    path: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Ended<'a> {
    pub(super) fn new(receiver: &'a str, path: &'a str, state: &'a FileState) -> Self {
        let (state, error) = state_of(state);
        Self {
            event: "file",
            receiver,
            path,
            state,
            error,
        }
    }

    pub(super) fn is_failed(&self) -> bool {
        self.error.is_some()
    }
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", Escaped(self.receiver), Escaped(self.path))?;
        match self.error {
            Some(error) => write!(f, "{}", Escaped(error)),
            None => f.write_str(self.state),
        }
    }
}

/// A word for it, and why.
pub(crate) fn state_of(state: &FileState) -> (&'static str, Option<&str>) {
    match state {
        FileState::Verified => ("verified", None),
        FileState::Failed(why) => ("failed", Some(why)),
        _ => ("incomplete", None),
    }
}

/// How far it is.
#[derive(Serialize)]
pub(super) struct Underway<'a> {
    event: &'static str,
    seconds: f64,
    files: usize,
    bytes: u64,
    sent_bytes: u64,
    datagrams: u64,
    repairs: u64,
    receivers: Vec<At<'a>>,
    absent: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
}

/// How far a receiver is.
#[derive(Serialize)]
struct At<'a> {
    receiver: &'a str,
    verified: usize,
    failed: usize,
    bytes: u64,
    bits_per_second: u64,
    loss: f64,
    silent_seconds: f64,
    #[serde(skip)]
    silence: Option<Span>,
}

impl<'a> Underway<'a> {
    pub(super) fn new(progress: &'a Progress) -> Self {
        let receivers = progress.receivers.iter().map(|receiver| At {
            receiver: &receiver.name,
            verified: receiver.verified,
            failed: receiver.failed,
            bytes: receiver.bytes,
            bits_per_second: rounded(receiver.rate),
            loss: receiver.loss,
            silent_seconds: receiver.silent.as_secs_f64(),
            silence: silence(receiver, progress.files),
        });
        Self {
            event: "progress",
            seconds: progress.elapsed.as_secs_f64(),
            files: progress.files,
            bytes: progress.bytes,
            sent_bytes: progress.sent,
            datagrams: progress.datagrams,
            repairs: progress.repairs,
            receivers: receivers.collect(),
            absent: &progress.absent,
            seconds_left: progress.left.map(|left| left.as_secs_f64()),
        }
    }
}

/// How long a receiver may be silent before it is told.
const SILENCE: Duration = Duration::from_secs(3);

/// For how long a receiver is silent that has not all, where that is worth a word.
pub(super) fn silence(receiver: &ReceiverProgress, files: usize) -> Option<Span> {
    let is_missed = receiver.silent >= SILENCE && receiver.verified < files;
    is_missed.then(|| Span(Duration::from_secs(receiver.silent.as_secs())))
}

/// A rate as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what does not fit is cut to the nearest that does"
)]
pub(super) fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

impl fmt::Display for Underway<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = percent(self.sent_bytes, self.bytes);
        write!(f, "{:.0} s  {part} % sent", self.seconds)?;
        if self.repairs > 0 {
            write!(f, ", {}", counted(self.repairs, "repair"))?;
        }
        for receiver in self.receivers.iter().take(8) {
            let (name, part) = (
                Escaped(receiver.receiver),
                percent(receiver.bytes, self.bytes),
            );
            write!(f, "; {name} {part} %")?;
            if let Some(silence) = &receiver.silence {
                write!(f, ", silent for {silence}")?;
            }
        }
        match self.receivers.len() {
            0 => f.write_str("; nobody answers")?,
            1..=8 => {}
            more => write!(f, "; and {} more", more - 8)?,
        }
        if let [first, others @ ..] = self.absent {
            write!(f, "; waiting for {}", Escaped(first))?;
            if !others.is_empty() {
                write!(f, " and {} more", others.len())?;
            }
        }
        Ok(())
    }
}

/// So many files and folders, of which it is not known which are which.
pub(crate) fn entries(count: usize) -> String {
    match count {
        1 => "1 file or folder".to_owned(),
        _ => format!("{} files and folders", grouped(count as u64)),
    }
}

/// `21 files and 3 folders`
pub(crate) fn contents<'a>(files: impl Iterator<Item = &'a FileInfo>) -> String {
    let (mut count, mut folders) = (0, 0);
    for file in files {
        *(if file.is_folder {
            &mut folders
        } else {
            &mut count
        }) += 1;
    }
    match (count, folders) {
        (_, 0) => counted(count, "file"),
        (0, _) => counted(folders, "folder"),
        _ => format!(
            "{} and {}",
            counted(count, "file"),
            counted(folders, "folder")
        ),
    }
}

/// `20 of 21 files verified`, in which folders do not count.
pub(crate) fn verified<'a>(files: impl Iterator<Item = (&'a FileInfo, &'a FileState)>) -> String {
    let (mut all, mut verified) = (0, 0);
    for (_, state) in files.filter(|(file, _)| !file.is_folder) {
        all += 1;
        verified += u64::from(*state == FileState::Verified);
    }
    format!("{} of {} verified", grouped(verified), counted(all, "file"))
}

/// A part in percent; of nothing it is all.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100;
    let percent = percent.checked_div(u128::from(whole)).unwrap_or(100);
    u64::try_from(percent).unwrap_or(100).min(100)
}

/// The report.
#[derive(Serialize)]
pub(super) struct Reported<'a> {
    event: &'static str,
    /// Nothing where nobody was expected and nobody answered: then it is not known.
    complete: Option<bool>,
    expected: usize,
    files: usize,
    bytes: u64,
    sent_bytes: u64,
    seconds: f64,
    bits_per_second: u64,
    datagrams: u64,
    repairs: u64,
    nacks: u64,
    receivers: Vec<Line<'a>>,
    #[serde(skip)]
    marks: [String; 2],
    #[serde(skip)]
    report: &'a SendReport,
}

/// A receiver in the report.
#[derive(Serialize)]
struct Line<'a> {
    receiver: &'a str,
    heard: bool,
    complete: bool,
    loss: f64,
    silent_seconds: f64,
    files: Vec<FileLine<'a>>,
}

#[derive(Serialize)]
struct FileLine<'a> {
    path: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Reported<'a> {
    pub(super) fn new(report: &'a SendReport, output: &Output) -> Self {
        let line = |receiver: &'a ReceiverReport| Line {
            receiver: &receiver.name,
            heard: receiver.is_heard,
            complete: receiver.is_complete(),
            loss: receiver.loss,
            silent_seconds: receiver.silent.as_secs_f64(),
            files: report
                .files
                .iter()
                .zip(&receiver.files)
                .map(|(file, state)| {
                    let (state, error) = state_of(state);
                    FileLine {
                        path: &file.path,
                        state,
                        error,
                    }
                })
                .collect(),
        };
        let is_known =
            report.stopped || report.expected > 0 || report.receivers.iter().any(|it| it.is_heard);
        Self {
            event: "report",
            complete: is_known.then(|| report.is_complete()),
            expected: report.expected,
            files: report.files.len(),
            bytes: report.bytes,
            sent_bytes: report.sent,
            seconds: report.elapsed.as_secs_f64(),
            bits_per_second: rounded(rate(report)),
            datagrams: report.datagrams,
            repairs: report.repairs,
            nacks: report.nacks,
            receivers: report.receivers.iter().map(line).collect(),
            marks: [output.mark(false), output.mark(true)],
            report,
        }
    }
}

/// Bits of files that were sent in a second.
pub(super) fn rate(report: &SendReport) -> f64 {
    report.sent as f64 * 8.0 / report.elapsed.as_secs_f64().max(1e-9)
}

/// The bytes, and how they went: a rate says something of what was sent alone.
pub(super) fn course(report: &SendReport) -> String {
    let bytes = counted(report.bytes, "byte");
    let (span, rate) = (Span(report.elapsed), rate(report) / 1e6);
    match report.sent {
        sent if sent == report.bytes => format!("{bytes} in {span}, {rate:.1} Mbit/s"),
        0 => format!("{bytes}, of which none was sent, in {span}"),
        sent => {
            let sent = grouped(sent);
            format!("{bytes}, of which {sent} were sent, in {span}, {rate:.1} Mbit/s")
        }
    }
}

/// How many lines there are of the files of a receiver that it does not have.
const LINES: usize = 20;

impl fmt::Display for Reported<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for receiver in &self.report.receivers {
            let mark = &self.marks[usize::from(receiver.is_complete())];
            write!(f, "{mark} {}: ", Escaped(&receiver.name))?;
            if !receiver.is_heard {
                writeln!(f, "was not heard of")?;
                continue;
            }
            let loss = receiver.loss * 100.0;
            if receiver.is_complete() {
                let all = contents(self.report.files.iter());
                writeln!(f, "complete and verified, {all}; {loss:.1} % lost")?;
                continue;
            }
            let files = self.report.files.iter().zip(&receiver.files);
            write!(f, "{}; {loss:.1} % lost", verified(files.clone()))?;
            if receiver.silent >= SILENCE {
                write!(f, "; not heard for the last {}", Span(receiver.silent))?;
            }
            writeln!(f)?;
            let lacks = files.filter(|(_, state)| **state != FileState::Verified);
            let more = lacks.clone().count().saturating_sub(LINES) as u64;
            for (file, state) in lacks.take(LINES) {
                let (state, error) = state_of(state);
                let why = Escaped(error.unwrap_or(state)).to_string();
                writeln!(f, "    {}: {why}", Escaped(&file.path))?;
            }
            if more > 0 {
                writeln!(f, "    and {} more", grouped(more))?;
            }
        }
        let heard = self.report.receivers.iter().filter(|it| it.is_heard);
        let heard = heard.count();
        let stopped = if self.report.stopped { "stopped; " } else { "" };
        match (self.expected, heard) {
            (0, 0) => writeln!(
                f,
                "no receiver was expected and none is known: whether anybody has the files is not known"
            )?,
            (0, heard) => writeln!(f, "no receiver was expected; {heard} answered")?,
            (expected, heard) if heard < expected => {
                let receivers = counted(expected as u64, "receiver");
                writeln!(
                    f,
                    "{receivers} expected, {heard} heard of; see whether 'manycast receive-files' runs \
                     there, under names that differ, and whether a firewall here drops the answers"
                )?;
            }
            _ => {}
        }
        write!(
            f,
            "{stopped}{}, {}; {}, {}",
            contents(self.report.files.iter()),
            course(self.report),
            counted(self.datagrams, "datagram"),
            counted(self.repairs, "repair")
        )
    }
}
