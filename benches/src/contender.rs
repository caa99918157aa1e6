//! Ways to send and to receive, one a file.

pub(crate) mod many;
pub(crate) mod manycast_library;
pub(crate) mod plain;
pub(crate) mod quinn;
pub(crate) mod raw;
pub(crate) mod tokio_socket;
