//! Asking a host or a group, and gathering the answers.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use manycast::proto::ask::{Client, ClientEvent};
use manycast::{AskConfig, Driver, Next};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyBytes;
use rustix::event::PollFlags;

use crate::address::{self, Interface, is_name, socket_address};
use crate::aside::unlocked;
use crate::datagram::{Datagram, Header};
use crate::error;
use crate::options::{self, Hops};
use crate::payload::Payload;
use crate::sender::duplicate;
use crate::wait::{Deadline, timeout, wait};

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
    hops: Option<Hops>,
    loopback: bool,
) -> PyResult<Vec<Answer>> {
    let asker = Asker::new(
        py, payload, address, port, timeout, retries, answers, interface, hops, loopback,
    )?;
    let mut found = Vec::new();
    loop {
        found.extend(asker.step(py)?);
        let (fd, until) = {
            let driver = asker.lock(py);
            if driver.is_finished() {
                return Ok(found);
            }
            (duplicate(&*driver)?, driver.until())
        };
        wait(py, &[fd.as_fd()], PollFlags::IN, Deadline::at(until))?;
    }
}

/// A question that is being asked, for event loops: they wait for ``fileno`` to be readable, for
/// ``wait`` seconds at most, and call ``step`` until it is ``finished``.
#[pyclass(frozen, module = "manycast._manycast", skip_from_py_object)]
pub(crate) struct Asker {
    driver: Mutex<Driver<Client>>,
}

impl Asker {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Driver<Client>> {
        self.driver
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Asker {
    #[new]
    #[pyo3(signature = (
        payload, address, port=None, /, *, timeout=1.0, retries=0, answers=None, interface=None,
        hops=None, loopback=true
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        payload: Payload,
        address: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        timeout: f64,
        retries: u32,
        answers: Option<usize>,
        interface: Option<Interface>,
        hops: Option<Hops>,
        loopback: bool,
    ) -> PyResult<Self> {
        let address = address::one(address, port, interface, None)?;
        let timeout = self::timeout(Some(timeout))?
            .filter(|timeout| *timeout < Duration::MAX)
            .ok_or_else(|| PyValueError::new_err("answers cannot be waited for without end"))?;
        let config = AskConfig::default()
            .timeout(timeout)
            .retries(retries)
            .answers(answers)
            .socket(options::sending(hops, loopback));
        // A copy, since a thread may outlive the wait for it, and the interpreter.
        let payload = payload.to_vec();
        let driver = unlocked(py, is_name(&address), move || {
            manycast::asker(address, payload, &config)
        })?;
        Ok(Self {
            driver: Mutex::new(driver),
        })
    }

    /// Does what there is to do, without waiting, and returns the answers that came.
    fn step(&self, py: Python<'_>) -> PyResult<Vec<Answer>> {
        let mut driver = self.lock(py);
        let mut found = Vec::new();
        while let Next::Event(event) = driver
            .next_event(Some(Duration::ZERO))
            .map_err(error::exception)?
        {
            match event {
                ClientEvent::Answer(answer) => found.push(Answer::new(py, &answer)?),
                ClientEvent::Refused { peer } => {
                    return Err(error::exception(manycast::Error::ConnectionRefused {
                        peer,
                    }));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether there is nothing more to wait for.
    #[getter]
    fn finished(&self, py: Python<'_>) -> bool {
        self.lock(py).is_finished()
    }

    /// How many seconds to wait at most before the next step.
    #[getter]
    fn wait(&self, py: Python<'_>) -> Option<f64> {
        let until = self.lock(py).until()?;
        Some(
            until
                .saturating_duration_since(Instant::now())
                .as_secs_f64(),
        )
    }

    /// The descriptor that is readable when there is something to receive.
    fn fileno(&self, py: Python<'_>) -> RawFd {
        self.lock(py).as_fd().as_raw_fd()
    }
}

/// An answer to a question, and how long it took.
///
/// >>> with manycast.Socket("127.0.0.1:0") as server:
/// ...     threading.Thread(target=lambda: server.answer(server.recv(), "OK")).start()
/// ...     (answer,) = ask("hello", server.local_address)
/// >>> answer.payload, answer.source.host, answer.attempt, answer.round_trip < 1
/// (b'OK', '127.0.0.1', 1, True)
#[pyclass(frozen, module = "manycast", skip_from_py_object)]
pub(crate) struct Answer {
    datagram: Py<Datagram>,
    round_trip: Duration,
    attempt: u32,
}

impl Answer {
    fn new(py: Python<'_>, answer: &manycast::Answer) -> PyResult<Self> {
        let received = answer.datagram.as_received();
        let header = Arc::new(Header::new(&received));
        let datagram = Datagram::new(py, received.payload, &header);
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
