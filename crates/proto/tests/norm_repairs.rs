//! What a sender sends to those who ask, seen datagram by datagram.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_proto::norm::message::{
    Body, Extensions, FecId, Feedback, Flags, Form, Item, Message, PayloadId, Request, Timestamp,
};
use manycast_proto::norm::{Content, Object, Sender, SenderConfig};
use manycast_proto::{Output, Protocol};
use manycast_types::{InterfaceId, Received};

const SECOND: Duration = Duration::from_secs(1);
const NODE: u32 = 9;
const SEGMENT: usize = 1000;
/// The source symbols of a block.
const BLOCK: usize = 40;

fn group() -> SocketAddr {
    ([239, 1, 1, 1], 6003).into()
}

/// A sender alone, in a time of its own.
struct Site {
    sender: Sender,
    now: Instant,
    /// What names it, as its messages say.
    instance: u16,
    /// The datagrams of repairs so far.
    repairs: usize,
}

impl Site {
    /// One that has sent an object of a block.
    fn new(backoff: u8) -> Self {
        let config = SenderConfig {
            rate: 10_000_000_000,
            segment: SEGMENT.try_into().expect("it is small"),
            block: BLOCK.try_into().expect("it is small"),
            backoff,
            grtt: Duration::from_millis(100),
            ..SenderConfig::new(group(), NODE)
        };
        // It starts at no time in particular.
        #[expect(clippy::disallowed_methods)]
        let now = Instant::now();
        let mut site = Self {
            sender: Sender::new(config, [1; 32], now),
            now,
            instance: 0,
            repairs: 0,
        };
        site.enqueue(Content::Memory(vec![7; SEGMENT * BLOCK].into()));
        site.sender.start(now);
        site.run(Duration::from_millis(10));
        site
    }

    fn enqueue(&mut self, content: Content) {
        let object = Object {
            content,
            file: false,
            info: None,
        };
        self.sender.enqueue(object).expect("there is room for it");
    }

    /// Lets it send for so long, and gives how many datagrams of repairs it sent.
    fn run(&mut self, time: Duration) -> usize {
        let (end, before) = (self.now + time, self.repairs);
        loop {
            match self.sender.poll_output(self.now) {
                Output::Transmit(transmit) => self.take(&transmit.payload, transmit.segment_size),
                Output::Wait { until, .. } => {
                    let Some(until) = until.filter(|until| *until <= end) else {
                        break;
                    };
                    self.now = self.now.max(until);
                    self.sender.handle_timeout(self.now);
                }
                Output::Finished => break,
                _ => {}
            }
        }
        self.now = end;
        self.repairs - before
    }

    fn take(&mut self, payload: &Bytes, segment: Option<u16>) {
        for datagram in payload.chunks(segment.map_or(payload.len(), usize::from)) {
            let message = Message::parse(datagram).expect("it is well-formed");
            if let Body::Data { object, .. } = message.body {
                self.instance = object.sender.instance;
                self.repairs += usize::from(object.flags.has(Flags::REPAIR));
            }
        }
    }

    /// A receiver says that it misses so many symbols of the block.
    fn ask(&mut self, count: u16) {
        let item = Item {
            fec: FecId::ReedSolomon8,
            object: 0,
            id: PayloadId {
                block: 0,
                length: 0,
                symbol: count,
            },
        };
        let nack = Message {
            sequence: 0,
            source: 1,
            extensions: Extensions::default(),
            body: Body::Nack {
                feedback: Feedback {
                    sender: NODE,
                    instance: self.instance,
                    grtt_response: Timestamp::default(),
                },
                requests: vec![Request {
                    form: Form::Erasures,
                    flags: Request::SEGMENT,
                    items: vec![item],
                }],
            },
        };
        let nack = nack.emit();
        let (source, interface) = (([10, 0, 0, 1], 6003).into(), InterfaceId::new(2, "eth0"));
        let received = Received::new(&nack, source, group(), &interface);
        self.sender.handle_datagram(self.now, received);
    }
}

/// The queues on the way may have grown since round-trip times were measured: what was sent a little longer
/// ago than that is not sent again to one who cannot have heard it.
#[test]
fn who_asks_before_a_repair_can_have_come_gets_it_once() {
    for (backoff, share, is_sent_again) in [
        (1, 0.5, false),
        (1, 1.2, false),
        (1, 1.3, true),
        // Without a back-off they ask right after a round trip.
        (0, 0.9, false),
        (0, 1.1, true),
    ] {
        let mut site = Site::new(backoff);
        let trip = site.sender.stats().grtt;
        site.ask(4);
        // It waits for what others ask, for their back-off and a round trip.
        assert!(site.run(trip * (u32::from(backoff) + 1)) >= 4);
        site.run(trip.mul_f64(share));
        site.ask(4);
        let again = site.run(trip * 4);
        assert_eq!(again > 0, is_sent_again, "{backoff}, {share}: {again}");
    }
}

/// Repairs are lost like all else. Where nothing else is to be sent, more parity than was asked for goes, so
/// that fewer ask again; otherwise it would keep the rest waiting.
#[test]
fn with_nothing_else_to_send_repairs_have_parity_to_spare() {
    for (asked, sent) in [(1, 2), (4, 6), (16, 21)] {
        let mut site = Site::new(0);
        site.ask(asked);
        assert_eq!(site.run(SECOND), sent);
        let mut site = Site::new(0);
        // Its bytes are not there.
        site.enqueue(Content::Elsewhere(1_000_000));
        site.ask(asked);
        assert_eq!(site.run(SECOND), usize::from(asked));
    }
}
