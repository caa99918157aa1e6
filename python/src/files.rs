//! Files to many: `manycast/files.py` has the values.

mod told;

use std::path::PathBuf;

use manycast::transfer::files::{Error, ReceiveOptions, Receiving, SendOptions, Sending};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::address::{self, Interface, Sources};
use crate::aside::{DELIVERIES, waits_or_begins};
use crate::error;
use crate::options::{self, Dscp, Hops, Names, Parity};
use crate::sender;
use crate::transfer::{self, Caller};
use crate::wait::timeout;

/// One path or several.
pub(crate) struct Paths(Vec<PathBuf>);

impl FromPyObject<'_, '_> for Paths {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(path) = object.extract() {
            return Ok(Self(vec![path]));
        }
        let paths = object.try_iter()?.map(|path| path?.extract());
        paths.collect::<PyResult<_>>().map(Self)
    }
}

waits_or_begins! {
    /// Sends files and folders to all receivers at an address, a group or a host, and returns a SendReport.
    ///
    /// ``paths`` is a path or several. Links, and what else is neither a file nor a folder, are an error, or left
    /// out with ``skip_links``. What is lost on the way is asked for and repaired. It ends when each receiver
    /// that answers has all, or does not come on; who has what is in the report, and no error.
    ///
    /// ``receivers`` is how many are expected, ``names`` the name of one or of several of them: it begins when
    /// they are there, or after ``wait`` seconds, and waits for them so long at the end. ``rate`` is in bits a
    /// second, 8,000 or more; with ``congestion_control`` it is the most, and what the network carries beside
    /// other flows decides. ``parity``, 0 to 64, is how many repairs go unasked with each 64 datagrams, for
    /// receivers with no way back; None: none where receivers are expected, 8 otherwise. ``source``, which may
    /// be ":5013", is the local address that receivers answer to. The other arguments are those of a Sender.
    ///
    /// ``progress`` is called with each event by the thread that sends: Scanned, Started, Heard, FileSent,
    /// SendProgress, some four times a second, and Warned. What it raises ends the transfer.
    ///
    ///     report = manycast.send_files("239.192.0.7:5013", ["firmware.bin", "dir"], receivers=3)
    ///     print(report.complete, *report.receivers, sep="\n")
    ///
    /// >>> report = manycast.send_files("239.192.0.7%lo:5013", "conftest.py")
    /// >>> report.files, report.receivers, report.expected
    /// (1, (), 0)
    ///
    /// FileError: a file cannot be read or sent. ConnectionRefused: nobody listens at the host that it is sent
    /// to. Raises also what opening a Sender raises. Ctrl-C ends it, and receivers are told.
    signature = (
        address, paths, /, *, receivers=0, names=None, rate=100e6, congestion_control=false,
        parity=None, skip_links=false, wait=5.0, interface=None, source=None, hops=None, loopback=true,
        dscp=None, send_buffer=None, progress=None
    )
    fn send_files, begin_send_files(
        address: &Bound<'_, PyAny>,
        paths: Paths,
        receivers: usize,
        names: Option<Names>,
        rate: f64,
        congestion_control: bool,
        parity: Option<Parity>,
        skip_links: bool,
        wait: f64,
        interface: Option<Interface>,
        source: Option<&str>,
        hops: Option<Hops>,
        loopback: bool,
        dscp: Option<Dscp>,
        send_buffer: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) {
        let address = address::one(address, None, interface, None)?;
        let mut options = SendOptions::default();
        options.rate = options::rate(rate)?;
        options.congestion_control = congestion_control;
        options.names = names.unwrap_or_default().0;
        options.receivers = receivers;
        options.parity = parity.map(|parity| parity.0);
        options.skip_links = skip_links;
        options.wait = timeout(Some(wait))?.unwrap_or(options.wait);
        let socket = options::sending(hops, loopback, dscp, send_buffer)?;
        options.sender = sender::config(source, socket)?;
        let sending = Sending::new(address, paths.0, options).map_err(exception)?;
        let work = move |caller: &Caller| {
            let stop = sending.stopper();
            caller.ends_it_by(move || stop.stop());
            sending.run(|event| caller.tell(|py, progress| told::sending(py, progress, event)))
        };
        let finish =
            |py: Python<'_>, report: Result<_, _>| told::sent(py, &report.map_err(exception)?);
        transfer::begin(&DELIVERIES, progress, work, finish)
    }
}

waits_or_begins! {
    /// Receives files into a folder, and returns a ReceiveReport when ``count`` deliveries have ended.
    ///
    /// ``address`` is a group or ":PORT", or a list of them. A file has its name once it is complete and has
    /// the hash that it has at the sender; what is there already is not asked for again. Nothing is written
    /// outside of ``folder``. There is no password: whoever can send to the address can write into it.
    ///
    /// ``name`` is that of this receiver, another one for each: 1 to 64 bytes, by default that of the host.
    /// With a ``count`` of 0 it goes on until something ends it, such as what ``progress`` raises. ``timeout`` is
    /// how many seconds nothing may come; then it ends too. ``limit`` is how many bytes a delivery may have.
    /// ``overwrite`` lets a file take the place of one with other content. With ``silent`` it says nothing to
    /// the sender, where there is no way back. The other arguments are those of a Listener.
    ///
    /// ``progress`` is called with each event by the thread that receives: Listening, Began, FileReceived,
    /// ReceiveProgress, some four times a second, Ended and Warned. What it raises ends the transfer.
    ///
    ///     report = manycast.receive_files("239.192.0.7:5013", "/srv", name="lab1", limit=2**30)
    ///     for file in report.deliveries[0].files:
    ///         print(file)
    ///
    /// >>> manycast.receive_files("239.192.0.7%lo:5013", ".", timeout=0.01)
    /// ReceiveReport(deliveries=(), timed_out=True)
    ///
    /// FileError: there is no such folder. Raises also what opening a Listener raises. What becomes of files is
    /// no error, but in the report. Ctrl-C ends it at once, and leaves no half file.
    signature = (
        address, folder, /, *, name=None, count=1, timeout=None, limit=None, overwrite=false,
        silent=false, interface=None, sources=None, receive_buffer=None, progress=None
    )
    fn receive_files, begin_receive_files(
        address: &Bound<'_, PyAny>,
        folder: PathBuf,
        name: Option<String>,
        count: u64,
        timeout: Option<f64>,
        limit: Option<u64>,
        overwrite: bool,
        silent: bool,
        interface: Option<Interface>,
        sources: Option<Sources>,
        receive_buffer: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) {
        let addresses = address::listed(address, interface, sources)?;
        let mut options = ReceiveOptions::default();
        options.name = name.unwrap_or(options.name);
        options.count = Some(count).filter(|count| *count > 0);
        options.timeout = self::timeout(timeout)?;
        options.limit = limit.unwrap_or(options.limit);
        options.overwrite = overwrite;
        options.silent = silent;
        options.socket = options::receiving(receive_buffer, false)?;
        let receiving = Receiving::new(addresses, folder, options).map_err(exception)?;
        let work = move |caller: &Caller| {
            let stop = receiving.stopper();
            caller.ends_it_by(move || stop.stop());
            receiving.run(|event| caller.tell(|py, progress| told::receiving(py, progress, event)))
        };
        let finish =
            |py: Python<'_>, report: Result<_, _>| told::received(py, &report.map_err(exception)?);
        transfer::begin(&DELIVERIES, progress, work, finish)
    }
}

/// The exception for an error of a transfer, with its sentence.
pub(crate) fn exception(told: Error) -> PyErr {
    let message = told.to_string();
    match told {
        Error::Network(told) => error::exception(told),
        Error::File { source, .. } => error::file(&source, message),
        Error::Unsendable { .. } => error::unsendable(message),
        Error::Unsuitable(_) => PyValueError::new_err(message),
        Error::Absent(_) => error::timed_out(message),
        Error::Stopped => error::closed(message),
        _ => error::general(message),
    }
}
