//! Files by TFTP: `manycast/tftp.py` has the values.

mod server;
mod stream;

use std::path::PathBuf;

use manycast::proto::tftp::{Agreed, Failure, Mode, RollOver, Summary};
use manycast::transfer::tftp::{Error, Location, Options, Progress, Report, Transfer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::address::socket_address;
use crate::aside::{Pending, TRANSFERS, waits_or_begins};
use crate::error;
use crate::transfer::{self, Caller};
use crate::wait::timeout;

pub(crate) use server::TftpServer;
use stream::Stream;

/// The end of a transfer at this host: a file, or an object of Python.
enum Local {
    Path(PathBuf),
    Object(Py<PyAny>),
}

impl Local {
    /// `method` is what an object has that is no path.
    fn new(object: &Bound<'_, PyAny>, method: &str) -> PyResult<Self> {
        if object.hasattr(method)? {
            return Ok(Self::Object(object.clone().unbind()));
        }
        object.extract().map(Self::Path)
    }
}

fn begin(
    location: &str,
    local: Local,
    write: bool,
    options: Options,
    progress: Option<Py<PyAny>>,
) -> PyResult<Pending> {
    let location: Location = location.parse().map_err(exception)?;
    let work = move |caller: &Caller| run(&location, local, write, &options, caller);
    transfer::begin(&TRANSFERS, progress, work, finish)
}

fn run(
    location: &Location,
    local: Local,
    write: bool,
    options: &Options,
    caller: &Caller,
) -> Result<Report, Error> {
    let mut transfer = match (local, write) {
        (Local::Path(path), false) => Transfer::get(location, path, options)?,
        (Local::Path(path), true) => Transfer::put(path, location, options)?,
        (Local::Object(object), false) => Transfer::get_to(location, Stream::new(object), options)?,
        (Local::Object(object), true) => {
            Transfer::put_from(Stream::new(object), location, options)?
        }
    };
    let stopper = transfer.stopper()?;
    caller.ends_it_by(move || stopper.stop());
    transfer.run(|Progress { bytes, total, .. }| {
        caller.tell(|py, progress| progress.call1(py, (bytes, total)));
    })
}

fn finish(py: Python<'_>, report: Result<Report, Error>) -> PyResult<Py<PyAny>> {
    let report = report.map_err(exception)?;
    let fields = counted(py, &report.summary, report.agreed.as_ref())?;
    fields.set_item("server", socket_address(py, report.server)?)?;
    make(py, "Report", &fields)
}

/// What reports and records have in common.
fn counted<'py>(
    py: Python<'py>,
    summary: &Summary,
    agreed: Option<&Agreed>,
) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("bytes", summary.bytes)?;
    fields.set_item("duration", summary.elapsed.as_secs_f64())?;
    fields.set_item("lost", summary.again)?;
    fields.set_item("duplicates", summary.duplicates)?;
    fields.set_item("timeouts", summary.timeouts)?;
    fields.set_item("round_trip", summary.round_trip.map(|it| it.as_secs_f64()))?;
    if let Some(agreed) = agreed {
        fields.set_item("block_size", agreed.block_size)?;
        fields.set_item("window", agreed.window)?;
        let group = agreed.group.map(|group| socket_address(py, group));
        fields.set_item("group", group.transpose()?)?;
    }
    Ok(fields)
}

fn make(py: Python<'_>, class: &str, fields: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
    let class = py.import("manycast.tftp")?.getattr(class)?;
    Ok(class.call((), Some(fields))?.unbind())
}

/// The exception for an error of a transfer, with its sentence.
fn exception(told: Error) -> PyErr {
    let message = told.to_string();
    match told {
        Error::Network(told) => error::exception(told),
        Error::File { source, .. } => error::file(&source, message),
        Error::Transfer { failure, .. } => match failure {
            Failure::Silent(_) => error::timed_out(message),
            Failure::Unreachable(_) => error::refused(message),
            Failure::Refused(refusal) => error::transfer(message, Some(refusal.code.number())),
            _ => error::transfer(message, None),
        },
        Error::Location { .. } => error::address(message),
        Error::Unsuitable(_) => PyValueError::new_err(message),
        Error::Stopped => error::closed(message),
        _ => error::general(message),
    }
}

fn options(
    block_size: Option<u16>,
    window: Option<u16>,
    mode: &str,
    multicast: bool,
    seconds: f64,
    rollover: u8,
) -> PyResult<Options> {
    if block_size.is_some_and(|size| !(8..=65_464).contains(&size)) {
        return Err(PyValueError::new_err("a block has 8 to 65,464 bytes"));
    }
    if window == Some(0) {
        return Err(PyValueError::new_err("a window has at least one block"));
    }
    let mut options = Options::default();
    options.block_size = block_size;
    options.window = window;
    options.mode = match mode {
        "octet" => Mode::Octet,
        "netascii" => Mode::Netascii,
        _ => {
            return Err(PyValueError::new_err(format!(
                "the mode {mode:?} is not known; give \"octet\" or \"netascii\""
            )));
        }
    };
    options.multicast = multicast;
    options.timeout = timeout(Some(seconds))?.unwrap_or(options.timeout);
    options.roll_over = roll_over(rollover)?;
    Ok(options)
}

fn roll_over(number: u8) -> PyResult<RollOver> {
    match number {
        0 => Ok(RollOver::Zero),
        1 => Ok(RollOver::One),
        _ => Err(PyValueError::new_err(
            "on block 65,535 follows block 0 or block 1",
        )),
    }
}

waits_or_begins! {
    /// Gets a file from a TFTP server, and returns a Report.
    ///
    /// ``location`` is HOST/FILE, HOST:PORT/FILE or tftp://HOST/FILE; the port is 69 unless it is named.
    /// ``local`` is the path that it gets, in place of a file that is there, once it is complete; or an
    /// object with a ``write`` method, such as ``io.BytesIO``.
    ///
    /// ``block_size``, 8 to 65,464 bytes, and ``window``, in blocks, are chosen for the path unless they are
    /// given; a server that knows no options sends 512 bytes at a time. ``mode`` is "octet", or "netascii"
    /// for text. With ``multicast`` one stream serves many clients, where the server does that. After
    /// ``timeout`` seconds in which nothing comes it is given up. ``rollover`` is the number that follows on
    /// block 65,535, 0 or 1. ``progress`` is called some ten times a second with the bytes that have come and
    /// the bytes in the file, or None, by the thread that transfers; what it raises ends the transfer.
    ///
    /// >>> with manycast.tftp.Server(".", "127.0.0.1:0") as server:
    /// ...     into = io.BytesIO()
    /// ...     report = manycast.tftp.get(f"{server.local_addresses[0]}/conftest.py", into)
    /// ...     report.bytes == len(into.getvalue())
    /// True
    ///
    /// TransferError: the server refuses it; its ``code`` is the server's. ConnectionRefused: nobody listens
    /// there. TimedOut: nothing came for too long. FileError: the file cannot be written. Ctrl-C ends it at
    /// once. Whatever ends it leaves no half file.
    signature = (
        location, local, /, *, block_size=None, window=None, mode="octet", multicast=false, timeout=30.0,
        rollover=0, progress=None
    )
    fn tftp_get, begin_tftp_get(
        location: &str,
        local: &Bound<'_, PyAny>,
        block_size: Option<u16>,
        window: Option<u16>,
        mode: &str,
        multicast: bool,
        timeout: f64,
        rollover: u8,
        progress: Option<Py<PyAny>>,
    ) {
        let options = options(block_size, window, mode, multicast, timeout, rollover)?;
        let local = Local::new(local, "write")?;
        begin(location, local, false, options, progress)
    }
}

waits_or_begins! {
    /// Puts a file to a TFTP server that allows it, and returns a Report.
    ///
    /// ``local`` is a path, or an object with a ``read`` method, such as ``io.BytesIO``. The other arguments
    /// and what it raises are those of ``get``; FileError: the file cannot be read.
    ///
    /// >>> with manycast.tftp.Server(folder, "127.0.0.1:0", write=True) as server:    # doctest: +SKIP
    /// ...     manycast.tftp.put(io.BytesIO(b"hello"), f"{server.local_addresses[0]}/greeting").bytes
    /// 5
    signature = (
        local, location, /, *, block_size=None, window=None, mode="octet", timeout=30.0, rollover=0,
        progress=None
    )
    fn tftp_put, begin_tftp_put(
        local: &Bound<'_, PyAny>,
        location: &str,
        block_size: Option<u16>,
        window: Option<u16>,
        mode: &str,
        timeout: f64,
        rollover: u8,
        progress: Option<Py<PyAny>>,
    ) {
        let options = options(block_size, window, mode, false, timeout, rollover)?;
        let local = Local::new(local, "read")?;
        begin(location, local, true, options, progress)
    }
}
