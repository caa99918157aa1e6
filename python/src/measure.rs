//! Measuring what a network does to a stream: `manycast/measure.py` has the values.

use std::time::{Duration, Instant, SystemTime};

use manycast::Dropped;
use manycast::proto::measure::{
    MIN_SIZE, Receiver, ReceiverConfig, ReceiverEvent, Sender, SenderConfig, SenderEvent,
    ServerReport, StreamReport,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::address::{self, Interface, Interfaces, Sources, is_name, socket_address};
use crate::aside::unlocked;
use crate::driver::{Driver, PythonProtocol, begin, begin_all};
use crate::listener;
use crate::options::{self, Dscp, Hops};
use crate::sender;
use crate::value;
use crate::wait::timeout;

/// Sends a stream of numbered datagrams to a group or a host. The Driver tells of its end, by
/// ``Finished``; its ``stats`` are SenderStats.
///
/// ``size`` is that of a payload in bytes, from 12 to 65,507. ``rate`` is in payload bits a second, None
/// is as fast as it goes; it is held in bursts of ``burst`` seconds at most. It ends after ``duration``
/// seconds, by default 10, or without an end where there is a ``count``, which is how many datagrams
/// are sent. A host answers at the end with what it received. The other arguments are those of a
/// Sender; ``interface`` may be several, or "all" for a group, which are as many streams, and ``stats``
/// is then a tuple.
///
/// >>> stats = manycast.measure.send("239.192.0.100%lo:5001", rate=1e6, count=5).run()
/// >>> stats.datagrams, stats.bytes, stats.report
/// (5, 6580, None)
///
/// Raises what opening a Sender raises.
#[pyfunction]
#[pyo3(signature = (
    address, port=None, /, *, size=1316, rate=1e6, burst=0.001, duration=None, count=None,
    interface=None, source=None, hops=None, loopback=true, dscp=None, send_buffer=None
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn measure_send(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
    size: usize,
    rate: Option<f64>,
    burst: f64,
    duration: Option<f64>,
    count: Option<u64>,
    interface: Option<Interfaces>,
    source: Option<&str>,
    hops: Option<Hops>,
    loopback: bool,
    dscp: Option<Dscp>,
    send_buffer: Option<usize>,
) -> PyResult<Driver> {
    let address = address::one(address, port, None, None)?;
    let what = format!("a stream to {address}");
    if !(MIN_SIZE..=manycast::MAX_PAYLOAD).contains(&size) {
        return Err(PyValueError::new_err(format!(
            "a payload of {size} bytes cannot be measured; give {MIN_SIZE} to {}",
            manycast::MAX_PAYLOAD
        )));
    }
    if count == Some(0) {
        return Err(PyValueError::new_err("a stream has at least one datagram"));
    }
    let (rate, burst) = (rate.map(options::rate).transpose()?, seconds(burst)?);
    let duration = match (timeout(duration)?, count) {
        (None, None) => Some(Duration::from_secs(10)),
        (duration, _) => duration.filter(|duration| *duration < Duration::MAX),
    };
    let looks_up = is_name(&address);
    let addresses = address::by_each(py, address, interface)?;
    let config = sender::config(source, options::sending(hops, loopback, dscp, send_buffer)?)?;
    let senders = unlocked(py, looks_up, move || {
        let open = |address| {
            let sender = manycast::Sender::open_at_once(address, &config)?;
            let stream = SenderConfig {
                size,
                rate,
                burst,
                duration,
                count,
                ..SenderConfig::new(sender.sent(0).to)
            };
            let stream = Sender::new(stream, Instant::now(), SystemTime::now());
            Ok(manycast::Driver::new(sender, stream))
        };
        addresses.iter().map(open).collect::<Result<Vec<_>, _>>()
    })?;
    begin_all(py, what, senders, None)
}

fn seconds(seconds: f64) -> PyResult<Duration> {
    let duration = timeout(Some(seconds))?.filter(|duration| duration.as_secs() < 1 << 32);
    duration.ok_or_else(|| PyValueError::new_err(format!("{seconds} s is too long; it has an end")))
}

impl PythonProtocol for Sender {
    fn event(py: Python<'_>, event: SenderEvent) -> PyResult<Option<Py<PyAny>>> {
        let SenderEvent::Finished(report) = event else {
            return Ok(None);
        };
        let report = report
            .map(|report| server_report(py, &report))
            .transpose()?;
        make(py, "Finished", (report,)).map(Some)
    }

    fn stats(&self, py: Python<'_>, _dropped: Dropped) -> PyResult<Py<PyAny>> {
        let stats = Self::stats(self);
        let report = self.report().map(|report| server_report(py, &report));
        let fields = (
            socket_address(py, self.config().destination)?,
            stats.datagrams,
            stats.bytes,
            stats.unsent,
            stats.duration.as_secs_f64(),
            stats.refused,
            stats.malformed,
            report.transpose()?,
        );
        make(py, "SenderStats", fields)
    }

    const FINISH: Option<fn(&mut Self, Instant)> = Some(Self::finish);
}

fn server_report(py: Python<'_>, report: &ServerReport) -> PyResult<Py<PyAny>> {
    let fields = (
        report.bytes,
        report.duration.as_secs_f64(),
        report.lost,
        report.reordered,
        report.datagrams,
        report.jitter.as_secs_f64(),
    );
    make(py, "ServerReport", fields)
}

/// Measures each stream that comes. The Driver tells of each stream that begins, by ``Began``, and each
/// ``interval`` seconds of what came in it, by ``Interval``; of one that made room for another, by
/// ``Freed``. Its ``stats`` are ReceiverStats.
///
/// It ends after ``duration`` seconds, or when ``expect`` senders have ended; without either, when it is
/// closed or ``finish`` is called. An ``interval`` of 0 is none. No more than ``max_streams`` are
/// measured. The other arguments are those of a Listener.
///
/// >>> with manycast.measure.receive("239.192.0.100%lo:5001", expect=1) as receiving:
/// ...     sent = manycast.measure.send("239.192.0.100%lo:5001", rate=1e6, count=5).run()
/// ...     (stream,) = receiving.run().streams
/// >>> stream.datagrams, stream.lost, stream.interface
/// (5, 0, 'lo')
///
/// Raises what opening a Listener raises.
#[pyfunction]
#[pyo3(signature = (
    *addresses, interface=None, sources=None, excluded=None, interval=1.0, duration=None, expect=None,
    max_streams=256, share_port=false, receive_buffer=None
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn measure_receive(
    py: Python<'_>,
    addresses: &Bound<'_, PyTuple>,
    interface: Option<Interface>,
    sources: Option<Sources>,
    excluded: Option<Sources>,
    interval: f64,
    duration: Option<f64>,
    expect: Option<usize>,
    max_streams: usize,
    share_port: bool,
    receive_buffer: Option<usize>,
) -> PyResult<Driver> {
    let addresses = address::many(addresses, interface, sources)?;
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let config = ReceiverConfig {
        interval: seconds(interval)?,
        duration: timeout(duration)?.filter(|duration| *duration < Duration::MAX),
        expect,
        max_streams,
    };
    let socket = options::receiving(receive_buffer, share_port)?;
    let listener = listener::open(py, addresses, excluded, socket)?;
    let receiver = Receiver::new(config, Instant::now(), SystemTime::now(), manycast::seed());
    let what = format!("measuring on {}", texts.join(", "));
    begin(py, what, manycast::Driver::new(listener, receiver))
}

impl PythonProtocol for Receiver {
    fn event(py: Python<'_>, event: ReceiverEvent) -> PyResult<Option<Py<PyAny>>> {
        match event {
            ReceiverEvent::Began {
                source,
                destination,
                interface,
            } => {
                let (from, to) = (
                    socket_address(py, source)?,
                    socket_address(py, destination)?,
                );
                make(py, "Began", (from, to, interface.to_string())).map(Some)
            }
            ReceiverEvent::Interval(streams) => {
                make(py, "Interval", (all(py, streams)?,)).map(Some)
            }
            ReceiverEvent::Freed(report) => make(py, "Freed", (stream(py, &report)?,)).map(Some),
            _ => Ok(None),
        }
    }

    const FINISH: Option<fn(&mut Self, Instant)> = Some(Self::finish);

    fn stats(&self, py: Python<'_>, dropped: Dropped) -> PyResult<Py<PyAny>> {
        let stats = Self::stats(self);
        let streams = all(py, self.streams())?;
        let fields = (
            streams,
            stats.malformed,
            stats.untracked,
            stats.untimely,
            stats.unconfirmed,
            value::dropped(py, dropped)?,
        );
        make(py, "ReceiverStats", fields)
    }
}

fn all(py: Python<'_>, streams: impl IntoIterator<Item = StreamReport>) -> PyResult<Py<PyAny>> {
    let streams = streams.into_iter().map(|report| stream(py, &report));
    value::tuple(py, streams.collect::<PyResult<Vec<_>>>()?)
}

fn stream(py: Python<'_>, report: &StreamReport) -> PyResult<Py<PyAny>> {
    let counters = report.counters;
    // By name, since they are more than a tuple can pass.
    let class = py.import(MODULE)?.getattr("Stream")?;
    let fields = pyo3::types::PyDict::new(py);
    fields.set_item("source", socket_address(py, report.source)?)?;
    fields.set_item("destination", socket_address(py, report.destination)?)?;
    fields.set_item("interface", report.interface.to_string())?;
    fields.set_item("duration", report.duration.as_secs_f64())?;
    fields.set_item("datagrams", counters.datagrams)?;
    fields.set_item("bytes", counters.bytes)?;
    fields.set_item("lost", counters.lost)?;
    fields.set_item("kernel_dropped", counters.kernel_dropped)?;
    fields.set_item("duplicated", counters.duplicated)?;
    fields.set_item("reordered", counters.reordered)?;
    fields.set_item("stale", counters.stale)?;
    fields.set_item("jitter", report.jitter.as_secs_f64())?;
    fields.set_item("delay", spread(py, |part| report.delay(part))?)?;
    fields.set_item(
        "variation",
        spread(py, |part| report.delay_variation(part))?,
    )?;
    fields.set_item("hops", report.hops)?;
    fields.set_item("first_number", report.first_number)?;
    fields.set_item("ended", report.ended)?;
    fields.set_item("run", report.run)?;
    fields.set_item("start", report.start.as_secs_f64())?;
    fields.set_item("confirmed", report.confirmed)?;
    Ok(class.call((), Some(&fields))?.unbind())
}

fn spread(py: Python<'_>, at: impl Fn(f64) -> Option<Duration>) -> PyResult<Option<Py<PyAny>>> {
    match (at(0.5), at(0.99), at(0.999)) {
        (Some(half), Some(most), Some(almost)) => {
            let parts = [half, most, almost].map(|part| part.as_secs_f64());
            make(py, "Spread", (parts[0], parts[1], parts[2])).map(Some)
        }
        _ => Ok(None),
    }
}

const MODULE: &str = "manycast.measure";

fn make<'py>(
    py: Python<'py>,
    class: &str,
    fields: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Py<PyAny>> {
    value::make_of(py, MODULE, class, fields)
}
