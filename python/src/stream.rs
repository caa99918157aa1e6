//! A stream to many: a thread sends or receives it, and `manycast/stream.py` holds the other end of a
//! pair of sockets, which event loops can wait for too.

use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;

use manycast::transfer::files::{Error, Stop};
use manycast::transfer::stream::{
    self as library, StreamReceiveOptions, StreamReceived, StreamSendOptions, StreamSent,
};
use pyo3::prelude::*;

use crate::address::{self, Interface, Sources};
use crate::aside::{DELIVERIES, Pending};
use crate::error;
use crate::files::exception;
use crate::options::{self, Dscp, Hops, Names, Parity};
use crate::sender;
use crate::transfer::{self, Caller};
use crate::value;
use crate::wait::timeout;

/// Begins to send a stream of bytes to all receivers at an address, and returns a StreamSender to write
/// it to. A with statement ends the stream, and waits until those that were expected have all of it.
///
/// ``receivers`` is how many are expected, ``names`` the name of one or of several of them: it begins when
/// they are there, in ``wait`` seconds, and the slowest of them slows it down, since ``window`` bytes at
/// most, 65,536 or more, are kept of what they lack. Who is not expected and lacks more than that is left
/// behind; who listens from the beginning gets all. The other arguments are those of ``send_files``.
///
///     with manycast.send_stream("239.192.0.8:5014", names=["lab1", "lab2"]) as out:
///         with tarfile.open(fileobj=out, mode="w|") as tar:
///             tar.add("dir")
///
/// >>> with manycast.send_stream("239.192.0.8%lo:5014") as out:
/// ...     out.write(b"some bytes")
/// 10
/// >>> out.report.bytes, out.report.complete
/// (10, True)
///
/// TimedOut: a receiver that is expected is not there in time; ``write`` or the end raises it.
/// ConnectionRefused, by either: nobody listens at the host that it is sent to. TransferError, at the end:
/// one has not said that it has all. Raises also, there, what opening a Sender
/// raises. What leaves the with statement by an error breaks off the stream, and receivers hear no end.
#[pyfunction]
#[pyo3(signature = (
    address, /, *, receivers=0, names=None, rate=100e6, congestion_control=false, parity=None,
    wait=5.0, window=8_388_608, interface=None, source=None, hops=None, loopback=true, dscp=None,
    send_buffer=None
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn send_stream(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    receivers: usize,
    names: Option<Names>,
    rate: f64,
    congestion_control: bool,
    parity: Option<Parity>,
    wait: f64,
    window: usize,
    interface: Option<Interface>,
    source: Option<&str>,
    hops: Option<Hops>,
    loopback: bool,
    dscp: Option<Dscp>,
    send_buffer: Option<usize>,
) -> PyResult<Py<PyAny>> {
    let address = address::one(address, None, interface, None)?;
    let mut options = StreamSendOptions::default();
    options.names = names.unwrap_or_default().0;
    options.receivers = receivers;
    options.rate = options::rate(rate)?;
    options.congestion_control = congestion_control;
    options.parity = parity.map(|parity| parity.0);
    options.wait = timeout(Some(wait))?.unwrap_or(options.wait);
    options.window = window;
    let socket = options::sending(hops, loopback, dscp, send_buffer)?;
    options.sender = sender::config(source, socket)?;
    let (to_write, reader) = pair()?;
    let work =
        move |caller: &Caller| library::send_stream(address, reader, &options, &stop(caller));
    let pending = transfer::begin(&DELIVERIES, None, work, sent)?;
    opened(py, "StreamSender", to_write, pending)
}

/// Begins to receive a stream of bytes, the first that begins, and returns a StreamReceiver: iterate over
/// it for the bytes as they come, or ``read`` it as a file.
///
/// ``timeout`` is how many seconds nothing may come. The other arguments are those of ``receive_files``.
/// While nothing is read, what comes is lost and asked for again; a sender that expects this receiver by
/// its name waits for it.
///
///     with manycast.receive_stream("239.192.0.8:5014", name="lab1") as stream:
///         with tarfile.open(fileobj=stream, mode="r|") as tar:
///             tar.extractall("into", filter="data")
///
/// >>> with manycast.receive_stream("239.192.0.8%lo:5014", name="lab1") as stream:
/// ...     with manycast.send_stream("239.192.0.8%lo:5014", names="lab1") as out:
/// ...         out.write(b"some bytes")
/// ...     b"".join(stream)
/// 10
/// b'some bytes'
///
/// TransferError, behind the bytes that came: bytes are missing, or the sender fell silent before the end;
/// nothing that follows is returned. Raises also, when it is read, what opening a Listener raises.
#[pyfunction]
#[pyo3(signature = (
    address, /, *, name=None, timeout=None, silent=false, interface=None, sources=None,
    receive_buffer=None
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn receive_stream(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    name: Option<String>,
    timeout: Option<f64>,
    silent: bool,
    interface: Option<Interface>,
    sources: Option<Sources>,
    receive_buffer: Option<usize>,
) -> PyResult<Py<PyAny>> {
    let address = address::one(address, None, interface, sources)?;
    let mut options = StreamReceiveOptions::default();
    options.name = name.unwrap_or(options.name);
    options.timeout = self::timeout(timeout)?;
    options.silent = silent;
    options.socket = options::receiving(receive_buffer, false)?;
    let (to_read, writer) = pair()?;
    let work = move |caller: &Caller| {
        let received = library::receive_stream(address, &writer, &options, &stop(caller));
        // A child that was forked off may hold it too, and must not hide the end.
        let _ = writer.shutdown(Shutdown::Both);
        received
    };
    let pending = transfer::begin(&DELIVERIES, None, work, received)?;
    opened(py, "StreamReceiver", to_read, pending)
}

fn pair() -> PyResult<(UnixStream, UnixStream)> {
    UnixStream::pair().map_err(|error| error::machine("make a pair of sockets", &error))
}

/// An end of a stream, of a class of `manycast/stream.py`.
fn opened(py: Python<'_>, class: &str, end: UnixStream, pending: Pending) -> PyResult<Py<PyAny>> {
    value::make_of(py, "manycast.stream", class, (end.into_raw_fd(), pending))
}

fn stop(caller: &Caller) -> Stop {
    let stop = Stop::default();
    let its = stop.clone();
    caller.ends_it_by(move || its.stop());
    stop
}

fn sent(py: Python<'_>, sent: Result<StreamSent, Error>) -> PyResult<Py<PyAny>> {
    let sent = sent.map_err(exception)?;
    let fields = (
        sent.is_complete(),
        sent.bytes,
        sent.elapsed.as_secs_f64(),
        sent.datagrams,
        sent.repairs,
        value::tuple(py, sent.receivers)?,
    );
    value::make_of(py, "manycast.stream", "StreamSent", fields)
}

fn received(py: Python<'_>, received: Result<StreamReceived, Error>) -> PyResult<Py<PyAny>> {
    let received = received.map_err(exception)?;
    let why = received.result.err();
    let fields = (
        received.bytes,
        received.elapsed.as_secs_f64(),
        why.map(|why| format!("cannot receive the stream: {why}")),
    );
    value::make_of(py, "manycast.stream", "StreamReceived", fields)
}
