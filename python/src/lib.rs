//! The Python package's Rust side: translates, and decides nothing.
//!
//! Each file has one subject; the Python names that it brings are the ones that `__init__.py`
//! passes on. Waiting is done in `wait.rs`, with the interpreter let go; everything else is a quick
//! call into `manycast`.

mod address;
mod aside;
mod ask;
mod background;
mod command;
mod datagram;
mod discovery;
mod doctor;
mod driver;
mod error;
mod files;
mod fork;
mod interfaces;
mod listener;
mod measure;
mod multicast;
mod options;
mod origin;
mod payload;
mod readiness;
mod receive;
mod sender;
mod socket;
mod stream;
mod tftp;
mod transfer;
mod value;
mod wait;

use pyo3::prelude::*;

/// The compiled part of the package `manycast`, which passes all of it on.
#[pymodule]
mod _manycast {
    #[pymodule_export]
    use crate::address::{Address, begin_resolve, resolve};
    #[pymodule_export]
    use crate::aside::{Pending, begin_wait_for_addresses};
    #[pymodule_export]
    use crate::ask::begin_ask;
    #[pymodule_export]
    use crate::command::run_command;
    #[pymodule_export]
    use crate::datagram::Datagram;
    #[pymodule_export]
    use crate::discovery::{Announcer, announce, browse};
    #[pymodule_export]
    use crate::doctor::{begin_doctor, doctor};
    #[pymodule_export]
    use crate::driver::Driver;
    #[pymodule_export]
    use crate::files::{begin_receive_files, begin_send_files, receive_files, send_files};
    #[pymodule_export]
    use crate::interfaces::interfaces;
    #[pymodule_export]
    use crate::listener::{Listener, open_plain};
    #[pymodule_export]
    use crate::measure::{measure_receive, measure_send};
    #[pymodule_export]
    use crate::multicast::{MulticastListener, MulticastUDPReceiver};
    #[pymodule_export]
    use crate::sender::{Sender, Sent, send};
    #[pymodule_export]
    use crate::socket::Socket;
    #[pymodule_export]
    use crate::stream::{receive_stream, send_stream};
    #[pymodule_export]
    use crate::tftp::{TftpServer, begin_tftp_get, begin_tftp_put, tftp_get, tftp_put};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        fork::watch(module.py())
    }
}
