//! NORM: objects to many receivers, reliably (RFC 5740).

pub mod fec;
pub mod message;
