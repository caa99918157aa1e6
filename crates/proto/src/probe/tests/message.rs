//! The wire format, whatever comes.

use proptest::prelude::*;

use super::super::message::CHUNK;
use super::report::{inquiry, report};
use super::*;

#[test]
fn no_answer_is_longer_than_its_request() {
    let now = start();
    let (mut client, mut server) = (client(None), server(None));
    client.start(now);
    let mut asked = Vec::new();
    let mut lengths = 0;
    for turn in 0..7 {
        let (requests, _) = drain(&mut client, now);
        deliver(&mut server, now, CLIENT.into(), &requests[0]);
        asked.extend(drain_into(
            &mut server,
            &mut client,
            now,
            &requests[0],
            &mut lengths,
        ));
        match turn {
            0 => {}
            1 => {
                asked.clear();
                client.watch(now);
            }
            2 => {
                server.watching(inquiry(&asked));
                asked.clear();
                drain_into(&mut server, &mut client, now, &requests[0], &mut lengths);
                client.examine(now);
            }
            3 => {
                server.examined(inquiry(&asked), &report(1));
                drain_into(&mut server, &mut client, now, &requests[0], &mut lengths);
            }
            _ => {}
        }
    }
    assert!(lengths >= 6, "{lengths} answers");

    // A request that is cut short, whoever has signed it, gets none.
    let short = Message {
        nonce: [7; 16],
        cookie: [0; 16],
        number: 9,
        body: Body::Read { chunk: 0 },
    };
    let long = short.emit(None, 0);
    assert!(long.len() > CHUNK);
    assert!(Message::parse(&long, None).is_ok());
    let cut = [&long[..200], &[0; 32]].concat();
    Message::parse(&cut, None).unwrap_err();
}

/// Carries the server's answers to a client, each no longer than the request, and gives its events.
fn drain_into(
    server: &mut Server,
    client: &mut Client,
    now: Instant,
    request: &Transmit,
    answered: &mut usize,
) -> Vec<ServerEvent> {
    let (answers, events) = drain(server, now);
    for answer in &answers {
        assert!(answer.payload.len() <= request.payload.len());
        deliver(client, now, SERVER.into(), answer);
        *answered += 1;
    }
    events
}

proptest! {
    #[test]
    fn no_datagram_panics(bytes in any::<Vec<u8>>(), cut in 0..200_usize) {
        let _ = Message::parse(&bytes, None);
        let hello = Message {
            nonce: [1; 16],
            cookie: [2; 16],
            number: 3,
            body: Body::Hello { group: GROUP.into(), source: None },
        };
        let _ = Report::parse(&bytes);
        let datagram = hello.emit(None, 0);
        prop_assert_eq!(Message::parse(&datagram, None), Ok(hello));
        let _ = Message::parse(&datagram[..cut.min(datagram.len())], None);
    }
}
