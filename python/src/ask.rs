//! Asking a host or a group, and gathering the answers.

use std::sync::Arc;
use std::time::Duration;

use manycast::proto::ask::{Client, ClientEvent};
use manycast::{AskConfig, Dropped};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::address::{self, Interfaces, is_name};
use crate::aside::unlocked;
use crate::datagram::{Datagram, Header};
use crate::driver::{Driver, PythonProtocol, begin_all};
use crate::error;
use crate::options::{self, Dscp, Hops};
use crate::payload::Payload;
use crate::value;
use crate::wait::timeout;

/// Begins to ask. What the Driver tells of is each answer, as it comes.
#[pyfunction]
#[pyo3(signature = (
    payload, address, port=None, /, *, timeout=1.0, retries=0, answers=None, interface=None,
    hops=None, loopback=true, dscp=None
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn begin_ask(
    py: Python<'_>,
    payload: Payload,
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
    timeout: f64,
    retries: u32,
    answers: Option<usize>,
    interface: Option<Interfaces>,
    hops: Option<Hops>,
    loopback: bool,
    dscp: Option<Dscp>,
) -> PyResult<Driver> {
    let address = address::one(address, port, None, None)?;
    let what = format!("a question to {address}");
    let timeout = self::timeout(Some(timeout))?
        .filter(|timeout| *timeout < Duration::MAX)
        .ok_or_else(|| PyValueError::new_err("answers cannot be waited for without end"))?;
    let config = AskConfig::default()
        .timeout(timeout)
        .retries(retries)
        .answers(answers)
        .socket(options::sending(hops, loopback, dscp, None)?);
    // A copy, since a thread may outlive the wait for it, and the interpreter.
    let payload = payload.to_vec();
    let looks_up = is_name(&address);
    let addresses = address::by_each(py, address, interface)?;
    let askers = unlocked(py, looks_up, move || {
        let ask = |address| manycast::asker_at_once(address, &payload, &config);
        addresses.iter().map(ask).collect::<Result<Vec<_>, _>>()
    })?;
    begin_all(py, what, askers, answers)
}

impl PythonProtocol for Client {
    fn event(py: Python<'_>, event: ClientEvent) -> PyResult<Option<Py<PyAny>>> {
        match event {
            ClientEvent::Answer(answer) => {
                let received = answer.datagram.as_received();
                let header = Arc::new(Header::new(&received));
                let datagram = Datagram::new(py, received.payload, &header);
                let round_trip = answer.round_trip.as_secs_f64();
                value::make(py, "Answer", (datagram, round_trip, answer.attempt)).map(Some)
            }
            ClientEvent::Refused { peer } => {
                Err(error::exception(manycast::Error::ConnectionRefused {
                    peer,
                }))
            }
            ClientEvent::NotSent(failure) => Err(error::exception(failure.into())),
            _ => Ok(None),
        }
    }

    fn stats(&self, py: Python<'_>, _dropped: Dropped) -> PyResult<Py<PyAny>> {
        Ok(Self::stats(self)
            .answers
            .into_pyobject(py)?
            .into_any()
            .unbind())
    }
}
