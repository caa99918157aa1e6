//! What a sender says to the applications of its receivers beside objects: NORM_CMD(APPLICATION).

use super::event::ReceiverEvent;
use super::message::Command;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::Output;

impl Sender {
    /// Says something of the application's to all receivers, once: what is lost is not repaired.
    /// False where it is longer than a segment, or the sender is not running.
    // RFC 5740 §4.2.3.7: NORM_CMD(APPLICATION).
    pub fn announce(&mut self, payload: &[u8]) -> bool {
        let fits = payload.len() <= usize::from(self.config().segment) && self.is_running();
        if fits {
            self.command(Command::Application { payload });
        }
        fits
    }
}

impl Receiver {
    /// Tells what a sender says of the application's.
    pub(super) fn announced(&mut self, node: u32, instance: u16, command: &Command<'_>) {
        if let Command::Application { payload } = command {
            self.outputs
                .push_back(Output::Event(ReceiverEvent::Announced {
                    node,
                    instance,
                    payload: payload.to_vec().into(),
                }));
        }
    }
}
