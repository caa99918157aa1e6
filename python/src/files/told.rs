//! What is told of files to many, as values of `manycast/files.py`.

use manycast::transfer::files::{
    Delivered, FileInfo, FileState, Progress, ReceiveEvent, ReceiveReport, ReceiverReport,
    SendEvent, SendReport,
};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

use crate::address::socket_address;
use crate::sender::Sent;
use crate::value;

/// Calls `progress` with an event of a sender.
pub(super) fn sending(
    py: Python<'_>,
    progress: &Py<PyAny>,
    event: SendEvent,
) -> PyResult<Py<PyAny>> {
    let event = match event {
        SendEvent::Scanned { bytes } => make(py, "Scanned", (bytes,)),
        SendEvent::Started {
            files,
            bytes,
            egress,
        } => make(py, "Started", (files, bytes, Sent(egress))),
        SendEvent::Receiver { name } => make(py, "Heard", (name,)),
        SendEvent::File {
            receiver,
            path,
            state,
        } => {
            let (state, reason) = words(&state);
            make(py, "FileSent", (receiver, path, state, reason))
        }
        SendEvent::Progress(progress) => underway(py, progress),
        SendEvent::Warning(message) => make(py, "Warned", (message,)),
        _ => return Ok(py.None()),
    }?;
    progress.call1(py, (event,))
}

fn underway(py: Python<'_>, progress: Progress) -> PyResult<Py<PyAny>> {
    let receivers = progress.receivers.into_iter().map(|it| {
        let silent = it.silent.as_secs_f64();
        let fields = (
            it.name,
            it.verified,
            it.failed,
            it.bytes,
            it.rate,
            it.loss,
            silent,
        );
        make(py, "ReceiverProgress", fields)
    });
    let receivers = value::tuple(py, receivers.collect::<PyResult<Vec<_>>>()?)?;
    let fields = (
        progress.elapsed.as_secs_f64(),
        progress.files,
        progress.bytes,
        progress.sent,
        progress.datagrams,
        progress.repairs,
        receivers,
        progress.left.map(|left| left.as_secs_f64()),
        value::tuple(py, progress.absent)?,
    );
    make(py, "SendProgress", fields)
}

/// A SendReport.
pub(super) fn sent(py: Python<'_>, report: &SendReport) -> PyResult<Py<PyAny>> {
    // Most receivers verify most files, and those are the same for all.
    let verified = report.files.iter();
    let verified = verified.map(|info| file(py, info, &FileState::Verified));
    let verified: Vec<_> = verified.collect::<PyResult<_>>()?;
    let receivers = report.receivers.iter();
    let receivers = receivers.map(|it| receiver(py, report, it, &verified));
    let receivers = value::tuple(py, receivers.collect::<PyResult<Vec<_>>>()?)?;
    let fields = (
        report.is_complete(),
        receivers,
        report.expected,
        report.files.len(),
        report.bytes,
        report.elapsed.as_secs_f64(),
        report.datagrams,
        report.repairs,
        report.nacks,
        report.sent,
    );
    make(py, "SendReport", fields)
}

fn receiver(
    py: Python<'_>,
    report: &SendReport,
    receiver: &ReceiverReport,
    verified: &[Py<PyAny>],
) -> PyResult<Py<PyAny>> {
    let files = report.files.iter().zip(verified).zip(&receiver.files);
    let files = files.map(|((info, verified), state)| match state {
        FileState::Verified => Ok(verified.clone_ref(py)),
        state => file(py, info, state),
    });
    let files = value::tuple(py, files.collect::<PyResult<Vec<_>>>()?)?;
    let samples = receiver.samples.iter();
    let samples = samples.map(|it| make(py, "Sample", (it.at.as_secs_f64(), it.rate, it.loss)));
    let samples = value::tuple(py, samples.collect::<PyResult<Vec<_>>>()?)?;
    let fields = (
        &receiver.name,
        receiver.is_complete(),
        files,
        receiver.is_heard,
        receiver.is_named,
        receiver.loss,
        samples,
        receiver.silent.as_secs_f64(),
    );
    make(py, "Receiver", fields)
}

/// Calls `progress` with an event of a receiver.
pub(super) fn receiving(
    py: Python<'_>,
    progress: &Py<PyAny>,
    event: ReceiveEvent,
) -> PyResult<Py<PyAny>> {
    let event = match event {
        ReceiveEvent::Listening { name, addresses } => {
            let addresses = addresses.into_iter().map(|it| socket_address(py, it));
            let addresses = value::tuple(py, addresses.collect::<PyResult<Vec<_>>>()?)?;
            make(py, "Listening", (name, addresses))
        }
        ReceiveEvent::Began {
            sender,
            files,
            bytes,
        } => make(py, "Began", (number(sender), files, bytes)),
        ReceiveEvent::File {
            sender,
            path,
            size,
            state,
        } => {
            let (state, reason) = words(&state);
            let fields = (number(sender), path, size, state, reason);
            make(py, "FileReceived", fields)
        }
        ReceiveEvent::Progress {
            sender,
            bytes,
            total,
            loss,
        } => make(py, "ReceiveProgress", (number(sender), bytes, total, loss)),
        ReceiveEvent::Ended(delivered) => make(py, "Ended", (delivery(py, &delivered)?,)),
        ReceiveEvent::Warning(message) => make(py, "Warned", (message,)),
        _ => return Ok(py.None()),
    }?;
    progress.call1(py, (event,))
}

/// A ReceiveReport.
pub(super) fn received(py: Python<'_>, report: &ReceiveReport) -> PyResult<Py<PyAny>> {
    let deliveries = report.deliveries.iter().map(|it| delivery(py, it));
    let deliveries = value::tuple(py, deliveries.collect::<PyResult<Vec<_>>>()?)?;
    make(py, "ReceiveReport", (deliveries, report.timed_out))
}

fn delivery(py: Python<'_>, delivered: &Delivered) -> PyResult<Py<PyAny>> {
    let files = delivered.files.iter();
    let files = files.map(|(info, state)| file(py, info, state));
    let files = value::tuple(py, files.collect::<PyResult<Vec<_>>>()?)?;
    let fields = (
        number(delivered.sender),
        delivered.is_complete(),
        files,
        delivered.bytes,
        delivered.elapsed.as_secs_f64(),
        delivered.has_ended,
    );
    make(py, "Delivery", fields)
}

fn file(py: Python<'_>, info: &FileInfo, state: &FileState) -> PyResult<Py<PyAny>> {
    let (state, reason) = words(state);
    let fields = (&info.path, info.size, state, reason, info.is_folder);
    make(py, "File", fields)
}

/// The state of a file, and why it failed.
fn words(state: &FileState) -> (&str, Option<&str>) {
    match state {
        FileState::Verified => ("verified", None),
        FileState::Failed(why) => ("failed", Some(why)),
        _ => ("incomplete", None),
    }
}

/// The number of a sender, as warnings write it.
fn number(sender: u32) -> String {
    format!("{sender:08x}")
}

fn make<'py>(py: Python<'py>, class: &str, fields: impl PyCallArgs<'py>) -> PyResult<Py<PyAny>> {
    value::make_of(py, "manycast.files", class, fields)
}
