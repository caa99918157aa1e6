//! Why nothing arrives.

use manycast::doctor::{
    self as library, Examination, FarEnd, Key, ProgramChoice, Severity, StepState,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::address::{self, Interface, Sources};
use crate::aside::{EXAMINATIONS, Pending, waits_or_begins};
use crate::error;
use crate::payload::Payload;
use crate::value;
use crate::wait::timeout;

waits_or_begins! {
    /// Finds out what becomes of datagrams to a group or a local address on this host, and why nothing
    /// arrives; without an address, what this host can do with groups.
    ///
    /// It listens meanwhile as a Listener does, for ``duration`` seconds, at least two and ten by default,
    /// and reads the kernel's counters before and after. ``pid`` is the number of another program, to be
    /// told why that does not receive. Nothing of the host is changed.
    ///
    /// ``with_`` is a far host on which ``manycast doctor serve`` runs, as HOST or HOST:PORT: a group is then
    /// tried in both directions, and the far host examines itself too. ``key`` is the secret that was given
    /// there.
    ///
    /// ``answers`` asks the group, and finds out whether the answers come, which its members send by unicast:
    /// with ``question``, or else as the protocol of the port does (SLP, SSDP, WS-Discovery, mDNS, CoAP).
    ///
    ///     print(doctor("239.1.1.1", 5000))
    ///     for finding in doctor("239.1.1.1", 5000).findings:
    ///         print(finding.title, finding.remedy)
    ///
    /// >>> report = doctor()
    /// >>> print(report.subject)
    /// this host
    ///
    /// AddressError: the address is of another host, or has no port. SocketError: there is no such
    /// interface or program. Faults are no errors, but findings. Ctrl-C ends the wait at once; the
    /// listening then goes on in the background until ``duration`` is over.
    signature = (
        address=None, port=None, /, *, interface=None, sources=None, duration=10.0, pid=None, with_=None,
        key=None, answers=false, question=None
    )
    fn doctor, begin_doctor(
        address: Option<&Bound<'_, PyAny>>,
        port: Option<&Bound<'_, PyAny>>,
        interface: Option<Interface>,
        sources: Option<Sources>,
        duration: f64,
        pid: Option<u32>,
        with_: Option<&Bound<'_, PyAny>>,
        key: Option<&str>,
        answers: bool,
        question: Option<Payload>,
    ) {
        let Some(address) = address else {
            return Pending::start(&EXAMINATIONS, library::examine_host, finish);
        };
        let address = address::one(address, port, interface, sources)?;
        let duration = timeout(Some(duration))?
            .filter(|duration| duration.as_secs() < 1 << 32)
            .ok_or_else(|| PyValueError::new_err("an examination has an end"))?;
        let how = Examination::default()
            .duration(duration)
            .program(pid.map(ProgramChoice::Pid));
        if !answers && question.is_some() {
            return Err(PyValueError::new_err("a question is for answers=True"));
        }
        if answers {
            if pid.is_some() || with_.is_some() {
                return Err(PyValueError::new_err("answers are examined without pid and with_"));
            }
            let question = question.map(|question| question.to_vec());
            return Pending::start(
                &EXAMINATIONS,
                move || library::examine_answers(address, question.as_deref(), &how),
                finish,
            );
        }
        let Some(with) = with_ else {
            return Pending::start(
                &EXAMINATIONS,
                move || library::examine(address, &how),
                finish,
            );
        };
        let far = FarEnd::new(far_address(with)?)
            .map_err(error::exception)?
            .key(key.map(|key| Key::new(key.to_owned())));
        Pending::start(
            &EXAMINATIONS,
            move || library::examine_with(address, &how, &far),
            finish,
        )
    }
}

/// The far end's address; with the usual port, where none is given.
fn far_address(with: &Bound<'_, PyAny>) -> PyResult<manycast::Address> {
    if let Ok(text) = with.extract::<String>()
        && text.parse::<manycast::Address>().is_err()
    {
        let port = library::DEFAULT_PORT;
        let address = (text.as_str(), port).try_into();
        return address
            .map_err(|rejected: manycast::AddressError| error::exception(rejected.into()));
    }
    address::one(with, None, None, None)
}

/// A Report.
fn finish(py: Python<'_>, report: library::Report) -> PyResult<Py<PyAny>> {
    let findings = report.findings.iter().map(|finding| {
        let fields = (
            finding.code.to_string(),
            finding.severity == Severity::Fault,
            finding.confidence.to_string(),
            &finding.title,
            value::tuple(py, &finding.evidence)?,
            &finding.remedy,
            &finding.confirm,
            finding.host.as_deref(),
        );
        value::make(py, "Finding", fields)
    });
    let findings: Vec<_> = findings.collect::<PyResult<_>>()?;
    let far = report.far.as_ref().map_or(&[][..], |far| &far.steps);
    let fields = (
        &report.subject,
        report.verdict().to_string(),
        report.is_healthy(),
        report.received,
        value::tuple(py, findings)?,
        steps(py, &report.steps)?,
        steps(py, far)?,
        manycast_cli::report_text(&report),
        manycast_cli::report_json(&report),
    );
    value::make(py, "Report", fields)
}

/// The walk, as (step, mark, detail).
fn steps(py: Python<'_>, steps: &[StepState]) -> PyResult<Py<PyAny>> {
    let steps = steps.iter().map(|state| {
        let mark = state.mark.as_str();
        (state.step.to_string(), mark, &state.detail)
    });
    value::tuple(py, steps)
}
