//! Why nothing arrives.

use manycast::doctor::{self as library, Examination, ProgramChoice, Severity};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::address::{self, Interface, Sources};
use crate::aside::{EXAMINATIONS, Pending};
use crate::wait::timeout;

/// Finds out what becomes of datagrams to a group or a local address on this host, and why nothing
/// arrives; without an address, what this host can do with groups.
///
/// It listens meanwhile as a Listener does, for ``duration`` seconds, at least two and ten by default,
/// and reads the kernel's counters before and after. ``pid`` is the number of another program, to be
/// told why that does not receive. Nothing of the host is changed.
///
///     for finding in doctor("239.1.1.1", 5000).findings:
///         print(finding)
///
/// >>> report = doctor()
/// >>> print(report.subject)
/// this host
///
/// AddressError: the address is of another host, or has no port. SocketError: there is no such
/// interface or program. Faults are no errors, but findings. Ctrl-C ends the wait at once; the
/// listening then goes on in the background until ``duration`` is over.
#[pyfunction]
#[pyo3(signature = (
    address=None, port=None, /, *, interface=None, sources=None, duration=10.0, pid=None
))]
pub(crate) fn doctor(
    py: Python<'_>,
    address: Option<&Bound<'_, PyAny>>,
    port: Option<&Bound<'_, PyAny>>,
    interface: Option<Interface>,
    sources: Option<Sources>,
    duration: f64,
    pid: Option<u32>,
) -> PyResult<Py<PyAny>> {
    let pending = begin_doctor(address, port, interface, sources, duration, pid)?;
    pending.result(py)
}

/// Begins an examination. The result of the Pending is that of ``doctor``.
#[pyfunction]
#[pyo3(signature = (
    address=None, port=None, /, *, interface=None, sources=None, duration=10.0, pid=None
))]
pub(crate) fn begin_doctor(
    address: Option<&Bound<'_, PyAny>>,
    port: Option<&Bound<'_, PyAny>>,
    interface: Option<Interface>,
    sources: Option<Sources>,
    duration: f64,
    pid: Option<u32>,
) -> PyResult<Pending> {
    let Some(address) = address else {
        return Pending::start(&EXAMINATIONS, library::examine_host, Report::finish);
    };
    let address = address::one(address, port, interface, sources)?;
    let how = Examination {
        duration: timeout(Some(duration))?
            .filter(|duration| duration.as_secs() < 1 << 32)
            .ok_or_else(|| PyValueError::new_err("an examination has an end"))?,
        program: pid.map(ProgramChoice::Pid),
        ..Examination::default()
    };
    Pending::start(
        &EXAMINATIONS,
        move || library::examine(address, &how),
        Report::finish,
    )
}

/// The outcome of an examination.
///
/// >>> report = doctor()
/// >>> report.healthy == (report.verdict == "delivered")
/// True
#[pyclass(frozen, get_all, module = "manycast", skip_from_py_object)]
pub(crate) struct Report {
    /// What was examined, as text: an address, or this host.
    subject: String,
    /// The code of the first fault, or 'delivered'.
    verdict: String,
    /// Whether no fault was found. Warnings are none.
    healthy: bool,
    /// How many datagrams were received as they were asked for.
    received: u64,
    /// What was found, a list of Finding, the most important first.
    findings: Vec<Py<Finding>>,
    /// The way of a datagram step by step: a list of (step, mark, detail), where mark is 'passed',
    /// 'broken', 'unknown' or 'not-reached'.
    steps: Vec<(String, String, String)>,
}

impl Report {
    fn finish(py: Python<'_>, report: library::Report) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Self::new(py, report)?)?.into_any())
    }

    fn new(py: Python<'_>, report: library::Report) -> PyResult<Self> {
        let verdict = report.verdict().to_string();
        let healthy = report.is_healthy();
        let steps = report.steps.into_iter().map(|state| {
            let mark = state.mark.as_str().to_owned();
            (state.step.to_string(), mark, state.detail)
        });
        let findings = report.findings.into_iter().map(|finding| {
            let finding = Finding {
                code: finding.code.to_string(),
                fault: finding.severity == Severity::Fault,
                confidence: finding.confidence.to_string(),
                title: finding.title,
                evidence: finding.evidence,
                remedy: finding.remedy,
                confirm: finding.confirm,
            };
            Py::new(py, finding)
        });
        Ok(Self {
            subject: report.subject,
            verdict,
            healthy,
            received: report.received,
            steps: steps.collect(),
            findings: findings.collect::<PyResult<_>>()?,
        })
    }
}

#[pymethods]
impl Report {
    fn __repr__(&self) -> String {
        format!(
            "<Report on {}: {}, {} findings>",
            self.subject,
            self.verdict,
            self.findings.len()
        )
    }
}

/// Something that was found: what, how sure it is, why, and what mends it.
///
/// >>> all(finding.title in str(finding) for finding in doctor().findings)
/// True
#[pyclass(frozen, get_all, module = "manycast", skip_from_py_object)]
pub(crate) struct Finding {
    /// Its stable name.
    code: String,
    /// Whether it keeps datagrams away; otherwise it is a warning.
    fault: bool,
    /// How sure it is: 'proved', 'likely', 'possible' or 'cannot see'.
    confidence: String,
    /// One sentence, about this host.
    title: String,
    /// What it rests on, a list of sentences.
    evidence: Vec<String>,
    /// What mends it, for this host, or None. Nothing of it was done.
    remedy: Option<String>,
    /// Where it is not proved: which command or privilege would confirm it, or None.
    confirm: Option<String>,
}

#[pymethods]
impl Finding {
    fn __str__(&self) -> String {
        let mut text = format!("{} ({}): {}", self.code, self.confidence, self.title);
        if let Some(remedy) = &self.remedy {
            text += &format!("; to mend it: {remedy}");
        }
        text
    }

    fn __repr__(&self) -> String {
        format!("<Finding {}>", self.__str__())
    }
}
