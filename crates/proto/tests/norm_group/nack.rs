//! Requests that no receiver of the session has sent.

use bytes::Bytes;
use manycast_proto::norm::message::{
    Body, Extensions, FecId, Feedback, Form, Item, Message, PayloadId, Request,
};

use super::{NODE, Session};

/// What asks for something in the name of a receiver.
pub(crate) fn asks(session: &Session, node: u32, request: Request) -> Bytes {
    let feedback = Feedback {
        sender: NODE,
        instance: session.instance(),
        ..Feedback::default()
    };
    Message {
        sequence: 0,
        source: node,
        extensions: Extensions::default(),
        body: Body::Nack {
            feedback,
            requests: vec![request],
        },
    }
    .emit()
}

/// What asks for the information and for a range of blocks of the first object.
pub(crate) fn asks_for_blocks(session: &Session, node: u32, first: u32, last: u32) -> Bytes {
    let item = |block| Item {
        fec: FecId::ReedSolomon8,
        object: 0,
        id: PayloadId {
            block,
            ..PayloadId::default()
        },
    };
    let request = Request {
        form: Form::Ranges,
        flags: Request::BLOCK | Request::INFO,
        items: vec![item(first), item(last)],
    };
    asks(session, node, request)
}
