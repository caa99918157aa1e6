//! From the library's error to the classes of `error.py`.

use manycast::ErrorKind;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use rustix::io::Errno;

/// The exception for an error of the library, with its sentence.
pub(crate) fn exception(error: manycast::Error) -> PyErr {
    let message = error.to_string();
    match &error {
        manycast::Error::Address(_) | manycast::Error::Unsuitable { .. } => address(message),
        manycast::Error::ConnectionRefused { .. } => {
            with_errno("ConnectionRefused", Errno::CONNREFUSED, message)
        }
        manycast::Error::Stopped => closed(message),
        manycast::Error::Net(error) if error.kind() == ErrorKind::NameNotResolved => {
            raise("ResolveError", (unresolved(error), message))
        }
        manycast::Error::Net(error) => {
            let told = error.errno().map(Errno::from_raw_os_error);
            of_socket(told.or_else(|| usual(error.kind())), message)
        }
        manycast::Error::Network(error) => of_socket(usual(error.kind), message),
        other => general(other.to_string()),
    }
}

/// A failure of the kernel or the network, in the class that fits its number.
fn of_socket(errno: Option<Errno>, message: String) -> PyErr {
    let class = match errno {
        Some(Errno::ACCESS | Errno::PERM) => "PermissionDenied",
        Some(Errno::CONNREFUSED) => "ConnectionRefused",
        _ => "SocketError",
    };
    with_errno(class, errno, message)
}

/// The number that a kind mostly has, where the kernel's own is not at hand.
const fn usual(kind: ErrorKind) -> Option<Errno> {
    match kind {
        ErrorKind::NoInterface => Some(Errno::NODEV),
        ErrorKind::NetworkUnreachable => Some(Errno::NETUNREACH),
        ErrorKind::HostUnreachable => Some(Errno::HOSTUNREACH),
        ErrorKind::LimitReached => Some(Errno::NOBUFS),
        ErrorKind::AddressNotAvailable => Some(Errno::ADDRNOTAVAIL),
        ErrorKind::PermissionDenied => Some(Errno::PERM),
        ErrorKind::MessageTooLong => Some(Errno::MSGSIZE),
        ErrorKind::InvalidInput => Some(Errno::INVAL),
        _ => None,
    }
}

/// Why a name has no address, as `getaddrinfo(3)` numbers it, where that is known.
fn unresolved(error: &impl std::error::Error) -> Option<i32> {
    /// The name is not known, and nobody answered (`netdb.h`).
    const EAI_NONAME: i32 = -2;
    const EAI_AGAIN: i32 = -3;
    let source = error.source()?.downcast_ref::<std::io::Error>()?;
    match source.kind() {
        std::io::ErrorKind::NotFound => Some(EAI_NONAME),
        std::io::ErrorKind::TimedOut => Some(EAI_AGAIN),
        _ => None,
    }
}

/// An error that has no better class.
pub(crate) fn general(message: String) -> PyErr {
    raise("Error", (message,))
}

/// A text is no address, or one that does not fit.
pub(crate) fn address(message: String) -> PyErr {
    raise("AddressError", (message,))
}

/// Something was closed before or while it was used.
pub(crate) fn closed(message: String) -> PyErr {
    raise("ClosedError", (message,))
}

/// Whether it says that something was closed.
pub(crate) fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    find(py, "ClosedError").is_ok_and(|class| error.is_instance(py, &class))
}

/// A datagram is longer than the caller has room for; the exception carries it.
pub(crate) fn truncated(message: String, datagram: Py<PyAny>) -> PyErr {
    raise("TruncatedError", (message, datagram))
}

/// Nothing came in time.
pub(crate) fn timed_out(message: String) -> PyErr {
    with_errno("TimedOut", Errno::TIMEDOUT, message)
}

/// Nobody listens on the port of the peer.
pub(crate) fn refused(message: String) -> PyErr {
    with_errno("ConnectionRefused", Errno::CONNREFUSED, message)
}

/// A file of this host cannot be read or written. What an object of Python has raised is the cause.
pub(crate) fn file(cause: &std::io::Error, message: String) -> PyErr {
    let errno = cause.raw_os_error().map(Errno::from_raw_os_error);
    let error = with_errno("FileError", errno, message);
    if let Some(raised) = cause.get_ref().and_then(|it| it.downcast_ref::<PyErr>()) {
        Python::attach(|py| error.set_cause(py, Some(raised.clone_ref(py))));
    }
    error
}

/// A file of this host is none that can be sent.
pub(crate) fn unsendable(message: String) -> PyErr {
    with_errno("FileError", None, message)
}

/// The other end refused or ended a transfer; `code` is what it gave.
pub(crate) fn transfer(message: String, code: Option<u16>) -> PyErr {
    raise("TransferError", (message, code))
}

/// A failure of the machine while `action` was done.
pub(crate) fn machine(action: &str, error: &std::io::Error) -> PyErr {
    with_errno(
        "SocketError",
        error.raw_os_error().map(Errno::from_raw_os_error),
        format!("cannot {action}: {error}"),
    )
}

fn with_errno(class: &str, errno: impl Into<Option<Errno>>, message: String) -> PyErr {
    raise(class, (errno.into().map(Errno::raw_os_error), message))
}

/// An exception of a class of `manycast.error`.
fn raise<A>(class: &str, arguments: A) -> PyErr
where
    A: pyo3::PyErrArguments + Send + Sync + 'static,
{
    Python::attach(|py| match find(py, class) {
        Ok(class) => PyErr::from_type(class, arguments),
        Err(error) => error,
    })
}

fn find<'py>(py: Python<'py>, class: &str) -> PyResult<Bound<'py, PyType>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("manycast.error").map(Bound::unbind))?;
    Ok(module.bind(py).getattr(class)?.cast_into()?)
}
