//! The streams of a sender.

use std::collections::VecDeque;

use super::{Remote, State};
use crate::Output;
use crate::norm::event::{ObjectKey, ReceiverEvent, ReceiverStats};
use crate::norm::fec::Code;
use crate::norm::incoming::Taken;
use crate::norm::message::{Flags, Fti, ObjectInfo, PayloadId};
use crate::norm::object::Number;
use crate::norm::stream::{Inflow, Told};

impl Remote {
    /// Begins a stream. False where it cannot be one.
    pub(super) fn begin_stream(
        &mut self,
        number: Number,
        object: ObjectInfo,
        fti: &Fti,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) -> bool {
        let code = Code::new(self.variant, fti.max_block.into());
        let info = object.flags.has(Flags::INFO);
        let earlier = self.earlier > 0;
        let stream = Inflow::new(fti, object.fec, code, info, earlier, self.silent);
        let Some(stream) = stream else {
            return false;
        };
        self.objects.insert(number, State::Stream(Box::new(stream)));
        outputs.push_back(Output::Event(ReceiverEvent::StreamStarted {
            object: self.key(number),
            info,
        }));
        true
    }

    /// Takes in a symbol of a stream. False where it contradicts what is known.
    pub(super) fn stream_symbol(
        &mut self,
        number: Number,
        (id, payload): (PayloadId, &[u8]),
        repair: bool,
        room: usize,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) -> bool {
        let key = self.key(number);
        let Some(State::Stream(stream)) = self.objects.get_mut(&number) else {
            return true;
        };
        let Some(block) = stream.block(id.block) else {
            stats.duplicates += 1;
            return true;
        };
        let mut told = Vec::new();
        match stream.take(block, id.symbol, payload, room, &mut told) {
            Taken::Duplicate => stats.duplicates += 1,
            Taken::NoRoom => stats.no_room += 1,
            Taken::Wrong => {
                stats.malformed += 1;
                return false;
            }
            Taken::Decoded(made) => {
                stats.symbols += 1;
                stats.decoded += u64::from(made);
            }
            Taken::Kept | Taken::Block(..) => {}
        }
        if !repair {
            stream.saw(block, 0);
        }
        tell(key, told, stats, outputs);
        self.complete(number, stats, outputs);
        true
    }

    /// The sender keeps a stream from a block on, as it is called on the wire.
    pub(super) fn skip_stream(
        &mut self,
        number: Number,
        block: u32,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        let key = self.key(number);
        if let Some(State::Stream(stream)) = self.objects.get_mut(&number)
            && let Some(block) = stream.block(block)
        {
            let mut told = Vec::new();
            stream.skip_to(block, &mut told);
            tell(key, told, stats, outputs);
            self.complete(number, stats, outputs);
        }
    }

    /// Nothing more comes of a stream: what is there is handed out.
    pub(super) fn end_stream(
        &mut self,
        number: Number,
        stats: &mut ReceiverStats,
        outputs: &mut VecDeque<Output<ReceiverEvent>>,
    ) {
        let key = self.key(number);
        if let Some(State::Stream(stream)) = self.objects.get_mut(&number) {
            let mut told = Vec::new();
            stream.end(&mut told);
            tell(key, told, stats, outputs);
            self.complete(number, stats, outputs);
        }
    }

    /// The number of a block that is called `block` on the wire.
    pub(super) fn block(&self, number: Number, block: u32) -> Option<u32> {
        match self.objects.get(&number) {
            Some(State::Stream(stream)) => stream.block(block),
            _ => Some(block),
        }
    }
}

fn tell(
    object: ObjectKey,
    told: Vec<Told>,
    stats: &mut ReceiverStats,
    outputs: &mut VecDeque<Output<ReceiverEvent>>,
) {
    for told in told {
        outputs.push_back(Output::Event(match told {
            Told::Bytes(offset, bytes) => ReceiverEvent::Data {
                object,
                offset,
                bytes,
            },
            Told::Message(offset) => ReceiverEvent::Message { object, offset },
            Told::Gap(from, to) => {
                stats.gaps += 1;
                ReceiverEvent::Gap { object, from, to }
            }
            Told::Wrong => {
                stats.malformed += 1;
                continue;
            }
        }));
    }
}
