//! What is sent next, and the datagrams for it.

use std::collections::btree_map::Entry;
use std::time::Instant;

use bytes::Bytes;
use manycast_types::{MAX_PAYLOAD, Transmit};

use super::{AHEAD, ANSWERED, BATCH, HEADER_MOST, READ_AHEAD, Sender, TICK, Wait};
use crate::norm::event::{ObjectId, SenderEvent};
use crate::norm::message::{
    Body, Extensions, FLAGS_AT, Flags, Message, PAYLOAD_ID_AT, PayloadId, SEQUENCE_AT,
};
use crate::norm::object::{Number, Symbols};
use crate::norm::outgoing::{Outgoing, Source};
use crate::norm::repair::{Repair, WHOLE};
use crate::pace::Pacer;

impl Sender {
    /// The next datagrams; `None` where there is nothing to send, or it is too early.
    pub(super) fn batch(&mut self) -> Option<Transmit> {
        if self.now < self.due || !self.is_running() {
            return None;
        }
        let size = usize::from(self.config.segment) + HEADER_MOST;
        let ready = self.pacer.ready(self.now, size);
        if ready == 0 {
            self.due = self.next_burst(size).max(self.now + TICK);
            return None;
        }
        let most = ready.min(BATCH).min((MAX_PAYLOAD / size).max(1));
        let new_first = self.ahead > AHEAD;
        let transmit = if new_first {
            self.unsent(most).or_else(|| self.repair(most))
        } else {
            self.repair(most).or_else(|| self.unsent(most))
        };
        if let Some(transmit) = &transmit {
            self.pacer.spend(transmit.payload.len());
        }
        transmit
    }

    /// When it may go on: when half a burst may go, so that fewer system calls do.
    fn next_burst(&self, size: usize) -> Instant {
        let half = u128::from(self.bits()) * Pacer::BURST.as_nanos() / (16 * 1_000_000_000);
        let datagrams = usize::try_from(half).unwrap_or(usize::MAX) / size;
        self.pacer.next(datagrams.max(1).saturating_mul(size))
    }

    /// Symbols that were never sent.
    fn unsent(&mut self, most: usize) -> Option<Transmit> {
        let number = self.first_unsent()?;
        let outgoing = self.objects.get(&number)?;
        if outgoing.is_info_due() {
            let flags = match outgoing.infos {
                0 => Flags::default(),
                _ => Flags::REPAIR,
            };
            let transmit = self.info_message(number, flags)?;
            self.objects.get_mut(&number)?.infos += 1;
            self.stats.datagrams += 1;
            self.if_sent(number);
            return Some(transmit);
        }
        let (block, first, count) = outgoing.unsent();
        if first == 0 {
            self.prefetch(number, block);
        }
        let source = self.source(number, block)?;
        let count = count.min(u16::try_from(most).unwrap_or(u16::MAX));
        let count = self.objects.get(&number)?.run(block, first, count);
        let transmit = self.symbols(number, block, &source, first, count, Flags::default())?;
        self.stats.datagrams += u64::from(count);
        self.ahead = self.ahead.saturating_sub(3 * usize::from(count));
        if self.objects.get_mut(&number)?.advance(count) {
            self.forget(number, block);
            let now = self.now;
            if let Some(window) = self.window(number) {
                window.sent(block, now);
                self.poll_window(number);
            }
        }
        self.if_sent(number);
        Some(transmit)
    }

    fn if_sent(&mut self, number: Number) {
        if self.objects.get(&number).is_some_and(Outgoing::is_through) {
            self.tell(SenderEvent::Sent(ObjectId(number)));
        }
    }

    /// Symbols that somebody asked for.
    fn repair(&mut self, most: usize) -> Option<Transmit> {
        loop {
            if let Some((number, block, mut symbols)) = self.repairing.take() {
                let Some(first) = symbols.first() else {
                    self.forget(number, block);
                    continue;
                };
                let Some(source) = self.source(number, block) else {
                    if self.window(number).is_some() {
                        // The window has moved on.
                        continue;
                    }
                    self.repairing = Some((number, block, symbols));
                    return None;
                };
                let outgoing = self.objects.get(&number)?;
                let length = outgoing.segments(block);
                let end = if first < length { length } else { 256 };
                let run = (first..end)
                    .take(most)
                    .take_while(|symbol| symbols.contains(*symbol));
                let count = u16::try_from(run.count()).unwrap_or(1);
                let count = outgoing.run(block, first, count);
                (first..first + count).for_each(|symbol| symbols.remove(symbol));
                self.repairing = Some((number, block, symbols));
                if let Some((_, at)) = self.answered.get_mut(&(number, block)) {
                    *at = self.now;
                }
                let flags = if first < length {
                    Flags::REPAIR.with(Flags::EXPLICIT)
                } else {
                    Flags::REPAIR
                };
                self.stats.repairs += u64::from(count);
                self.ahead += usize::from(count);
                return self.symbols(number, block, &source, first, count, flags);
            }
            // Where all was sent, more parity than was asked for costs little, and a round of asking that
            // it saves is time.
            let all_is_sent = self.all_is_sent();
            let (number, wanted) = self.repairs.first()?;
            let Some(outgoing) = self.objects.get_mut(&number) else {
                self.repairs.remove(number);
                continue;
            };
            let blocks = outgoing.layout.blocks();
            if std::mem::take(&mut wanted.whole) {
                wanted.info = true;
                let first = outgoing.first_block();
                let last = match outgoing.window() {
                    Some(_) => outgoing.block,
                    None => blocks.saturating_sub(1),
                };
                if blocks > 0 {
                    wanted.add_range(first, last);
                }
            }
            if std::mem::take(&mut wanted.info) && outgoing.info.is_some() {
                self.stats.repairs += 1;
                self.ahead += 1;
                return self.info_message(number, Flags::REPAIR);
            }
            let Some((block, whole)) = wanted.first_block() else {
                self.repairs.remove(number);
                if self.repairs.is_empty() && !self.timers.is_set(Wait::Aggregate) {
                    self.ahead = 0;
                }
                continue;
            };
            // What was never sent is not repaired: it comes all the same.
            let sent = outgoing.sent(block);
            let is_elsewhere = matches!(outgoing.source, Source::Elsewhere);
            if whole {
                wanted.shorten(outgoing.block.saturating_add(1));
                if sent > 0 {
                    let mut symbols = Symbols::default();
                    (0..sent).for_each(|symbol| {
                        symbols.insert(symbol);
                    });
                    self.repairing = Some((number, block, symbols));
                    let fresh = WHOLE;
                    self.answer(number, block, Repair { symbols, fresh });
                }
            } else if let Some(part) = self.repairs.take_block(number, block)
                && sent > 0
            {
                let extra = if all_is_sent { 1 + part.count / 4 } else { 0 };
                let repair = outgoing.repairs(block, part.count, extra, &part.named);
                self.repairing = Some((number, block, repair.symbols));
                self.answer(number, block, repair);
            }
            if is_elsewhere {
                self.prefetch_repairs();
            }
        }
    }

    /// Takes note that a block is repaired: who asked before has its answer.
    fn answer(&mut self, number: Number, block: u32, repair: Repair) {
        self.asked.take_out(number, block, &repair);
        if self.answered.len() < ANSWERED {
            self.answered.insert((number, block), (repair, self.now));
        }
    }

    /// The bytes of a block, or `None` where they were asked for.
    fn source(&mut self, number: Number, block: u32) -> Option<Bytes> {
        let outgoing = self.objects.get(&number)?;
        match &outgoing.source {
            Source::Memory(bytes) => {
                let range = outgoing.layout.bytes(block);
                let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                Some(bytes.slice(index(range.start)..index(range.end)))
            }
            Source::Stream(window) => window.source(block),
            Source::Elsewhere => {
                self.need(number, block);
                self.cache.get(&(number, block)).cloned().flatten()
            }
        }
    }

    fn need(&mut self, number: Number, block: u32) {
        let Some(outgoing) = self.objects.get(&number) else {
            return;
        };
        let range = outgoing.layout.bytes(block);
        if let Entry::Vacant(entry) = self.cache.entry((number, block)) {
            entry.insert(None);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            self.cached += length;
            self.tell(SenderEvent::Need {
                object: ObjectId(number),
                offset: range.start,
                length,
            });
        }
    }

    /// Asks for what is needed soon, of an object and of those after it, so that it is there in time.
    fn prefetch(&mut self, number: Number, block: u32) {
        let length = usize::from(self.config.segment) * usize::from(self.config.block);
        let window = (self.config.memory / length.max(1)).clamp(4, READ_AHEAD);
        let blocks = self.objects.range(number..).flat_map(|(&at, outgoing)| {
            let first = if at == number { block } else { 0 };
            let end = match outgoing.source {
                Source::Elsewhere => outgoing.layout.blocks(),
                _ => 0,
            };
            (first..end).map(move |block| (at, block))
        });
        let soon: Vec<_> = blocks.take(window).collect();
        for (number, block) in soon {
            if self.cached + length > self.config.memory.max(4 * length) {
                break;
            }
            self.need(number, block);
        }
    }

    /// Asks for the blocks that are repaired next: to get one after the other may take longer than they
    /// took to send, and then repairs would fall behind for ever.
    fn prefetch_repairs(&mut self) {
        let length = usize::from(self.config.segment) * usize::from(self.config.block);
        for (number, block) in self.repairs.next_blocks(READ_AHEAD) {
            let outgoing = self.objects.get(&number);
            let is_to_get = outgoing
                .is_some_and(|it| matches!(it.source, Source::Elsewhere) && it.sent(block) > 0);
            if self.cached + length > self.config.memory {
                break;
            }
            if is_to_get {
                self.need(number, block);
            }
        }
    }

    pub(super) fn forget(&mut self, number: Number, block: u32) {
        if self.cache.remove(&(number, block)).is_some()
            && let Some(outgoing) = self.objects.get(&number)
        {
            let range = outgoing.layout.bytes(block);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            self.cached = self.cached.saturating_sub(length);
        }
        if self.cache.is_empty() {
            self.cached = 0;
        }
    }

    fn info_message(&mut self, number: Number, flags: Flags) -> Option<Transmit> {
        let outgoing = self.objects.get(&number)?;
        let mut object = self.object_info(number, outgoing);
        object.flags = object.flags.with(flags);
        let payload = outgoing.info.clone()?;
        let extensions = Extensions {
            fti: Some(outgoing.fti()),
            ..Extensions::default()
        };
        let body = Body::Info {
            object,
            payload: &payload,
        };
        let datagram = self.message(extensions, body).emit();
        Some(Transmit::new(self.config.destination, datagram))
    }

    /// Datagrams with `count` symbols of a block from `first`, all source or all parity, as one.
    fn symbols(
        &mut self,
        number: Number,
        block: u32,
        source: &[u8],
        first: u16,
        count: u16,
        flags: Flags,
    ) -> Option<Transmit> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(count);
        let outgoing = self.objects.get(&number)?;
        let (segment, length) = (outgoing.stride(), outgoing.segments(block));
        let object = self.object_info(number, outgoing);
        let id = PayloadId {
            block,
            length,
            symbol: 0,
        };
        let extensions = Extensions {
            fti: outgoing.tells_fti(block, first).then(|| outgoing.fti()),
            ..Extensions::default()
        };
        let template = Message {
            sequence: 0,
            source: self.config.node,
            extensions,
            body: Body::Data {
                object,
                id,
                payload: &[],
            },
        };
        let template = template.emit();
        let size = template.len() + segment;
        let mut buffer = self.buffers.take();
        let datagrams = buffer.chunks_exact_mut(size).take(count.into());
        for (datagram, index) in datagrams.zip(0..) {
            let (head, payload) = datagram.split_at_mut(template.len());
            head.copy_from_slice(&template);
            let sequence: u16 = sequence.wrapping_add(index);
            head[SEQUENCE_AT..SEQUENCE_AT + 2].copy_from_slice(&sequence.to_be_bytes());
            head[FLAGS_AT] |= flags.0;
            // The symbol is the last octet or the last two of its name.
            let end = PAYLOAD_ID_AT + self.config.fec.payload_id_len();
            head[end - 1] = (first + index).to_be_bytes()[1];
            if first + index < length {
                let start = usize::from(first + index) * segment;
                let symbol = &source[start.min(source.len())..];
                let symbol = &symbol[..symbol.len().min(segment)];
                payload[..symbol.len()].copy_from_slice(symbol);
            } else {
                payload.fill(0);
            }
        }
        let mut total = size * usize::from(count);
        if first < length {
            let last = outgoing.symbol_len(block, first + count - 1);
            total -= segment - last;
        } else {
            let symbols: Vec<_> = source.chunks(segment).collect();
            let datagrams = buffer.chunks_exact_mut(size).take(count.into());
            let mut parity: Vec<_> = datagrams.map(|it| &mut it[size - segment..]).collect();
            outgoing
                .code
                .encode(&symbols, (first - length).into(), &mut parity);
        }
        let mut payload = self.buffers.give(buffer);
        payload.truncate(total);
        let mut transmit = Transmit::new(self.config.destination, payload);
        transmit.segment_size = u16::try_from(size).ok().filter(|_| count > 1);
        Some(transmit)
    }

    pub(super) fn has_work(&self) -> bool {
        let running = self.is_running();
        let repairs = !self.repairs.is_empty() || self.repairing.is_some();
        running && (repairs || !self.all_is_sent())
    }

    /// Whether nothing is left that was never sent.
    pub(super) fn all_is_sent(&self) -> bool {
        let mut rest = self.objects.range(self.sent..);
        rest.all(|(_, object)| object.is_sent())
    }

    /// The first object that was never sent whole.
    fn first_unsent(&mut self) -> Option<Number> {
        for (number, object) in self.objects.range(self.sent..) {
            self.sent = *number;
            if !object.is_sent() {
                return Some(*number);
            }
        }
        None
    }

    /// The last object of which something was sent.
    pub(super) fn last_begun(&self) -> Option<(Number, &Outgoing)> {
        let mut objects = self.objects.range(..=self.sent).rev();
        let (number, outgoing) = objects.find(|(_, object)| object.is_begun())?;
        Some((*number, outgoing))
    }
}
