//! Asking a host or a group, and gathering the answers.

use std::time::Duration;

use manycast::AskConfig;
use manycast::proto::ask::ClientEvent;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::address::{self, Interface, socket_address};
use crate::datagram::Datagram;
use crate::payload::Payload;
use crate::wait::{Deadline, timeout};
use crate::{error, options};

/// Sends a question and returns a list of the answers: of a host the first, of a group all that
/// come within the time-out. No answer is an empty list.
///
/// ``payload`` is str, sent as UTF-8, or bytes-like. ``timeout`` is how many seconds answers to the
/// first question are waited for; each of the ``retries`` waits twice as long as the one before.
/// ``answers`` is how many are enough.
///
///     ask("hello", "192.0.2.7", 8888, retries=2)
///     ask("who is there?", "239.192.0.100%eth0:5000", timeout=2)
///
/// >>> with manycast.Socket("127.0.0.1:0") as server:
/// ...     threading.Thread(target=lambda: server.answer(server.recv(), "OK...hello")).start()
/// ...     [answer.payload for answer in ask("hello", server.local_address)]
/// [b'OK...hello']
///
/// ConnectionRefused: nobody listens on that port of that host. Raises also what opening a Sender
/// raises.
#[pyfunction]
#[pyo3(signature = (
    payload, address, port=None, /, *, timeout=1.0, retries=0, answers=None, interface=None,
    hops=None, loopback=true
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn ask(
    py: Python<'_>,
    payload: Payload,
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
    timeout: f64,
    retries: u32,
    answers: Option<usize>,
    interface: Option<Interface>,
    hops: Option<u8>,
    loopback: bool,
) -> PyResult<Vec<Answer>> {
    let address = address::one(address, port, interface, None)?;
    let config = AskConfig {
        timeout: self::timeout(Some(timeout))?
            .filter(|timeout| *timeout < Duration::MAX)
            .ok_or_else(|| PyValueError::new_err("answers cannot be waited for without end"))?,
        retries,
        answers,
        socket: options::sending(hops, loopback),
    };
    let mut asker = py
        .detach(|| manycast::asker(address, payload, &config))
        .map_err(error::exception)?;
    let mut found = Vec::new();
    loop {
        // In slices, so that signals are heard.
        let slice = Deadline::after(None).slice();
        let event = py
            .detach(|| asker.next_event(Some(slice)))
            .map_err(error::exception)?;
        match event {
            Some(ClientEvent::Answer(answer)) => found.push(Answer::new(py, &answer)?),
            Some(ClientEvent::Refused { peer }) => {
                return Err(error::exception(manycast::Error::ConnectionRefused {
                    peer,
                }));
            }
            None if asker.is_finished() => return Ok(found),
            _ => {}
        }
        py.check_signals()?;
    }
}

/// An answer to a question, and how long it took.
///
/// See the example of ``ask``.
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct Answer {
    datagram: Py<Datagram>,
    round_trip: Duration,
    attempt: u32,
}

impl Answer {
    fn new(py: Python<'_>, answer: &manycast::Answer) -> PyResult<Self> {
        let datagram = Datagram::new(py, &answer.datagram.as_received());
        Ok(Self {
            datagram: Py::new(py, datagram)?,
            round_trip: answer.round_trip,
            attempt: answer.attempt,
        })
    }
}

#[pymethods]
impl Answer {
    /// The answer as it came.
    #[getter]
    fn datagram(&self, py: Python<'_>) -> Py<Datagram> {
        self.datagram.clone_ref(py)
    }

    /// What was answered, in bytes.
    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyBytes> {
        self.datagram.get().payload(py)
    }

    /// Who answered; a SocketAddress.
    #[getter]
    fn source(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        socket_address(py, self.datagram.get().as_received(py).source)
    }

    /// The seconds since the question was last sent.
    #[getter]
    fn round_trip(&self) -> f64 {
        self.round_trip.as_secs_f64()
    }

    /// How often the question had been sent by then. When that was more than once, this may be the
    /// answer to an earlier one, and took longer than ``round_trip`` says.
    #[getter]
    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn __bytes__(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let received = self.datagram.get().as_received(py);
        format!(
            "<Answer of {} bytes from {} after {:.6} s>",
            received.payload.len(),
            received.source,
            self.round_trip.as_secs_f64()
        )
    }
}
