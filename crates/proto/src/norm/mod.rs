//! NORM: objects to many receivers, reliably (RFC 5740).

mod ack;
mod config;
mod event;
pub mod fec;
mod grtt;
mod incoming;
pub mod message;
mod object;
mod outgoing;
mod receiver;
mod remote;
mod repair;
mod sender;

pub use config::{FeedbackTo, ReceiverConfig, SenderConfig};
pub use event::{
    Abandonment, EnqueueError, ObjectId, ObjectKey, ReceiverEvent, ReceiverStats, SenderEvent,
    SenderStats,
};
pub use object::Layout;
pub use outgoing::{Content, Object};
pub use receiver::Receiver;
pub use sender::Sender;
