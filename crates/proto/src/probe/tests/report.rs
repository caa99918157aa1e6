//! What a host tells of itself: in pieces, seldom, and harmless.

use std::time::Duration;

use manycast_types::Transmit;

use super::super::message::{Body, Message};
use super::super::{ClientEvent, Finding, Inquiry, MAX_REPORT, Refusal, Report, ServerEvent, Step};
use super::{CLIENT, GROUP, SERVER, agreed, converse, deliver, drain, start};

/// What a host could find on itself.
pub(super) fn report(evidence: usize) -> Report {
    let finding = Finding {
        code: "firewall-drops".to_owned(),
        severity: "fault".to_owned(),
        confidence: "proved".to_owned(),
        title: "a firewall of this host drops what comes".to_owned(),
        evidence: vec!["x".repeat(500); evidence],
        remedy: Some("mend it".to_owned()),
        settle: None,
    };
    Report {
        steps: vec![Step {
            name: "firewall".to_owned(),
            mark: "broken".to_owned(),
            detail: String::new(),
        }],
        findings: vec![finding; 4],
    }
}

pub(super) fn inquiry(events: &[ServerEvent]) -> &Inquiry {
    let found = events.iter().find_map(|event| match event {
        ServerEvent::Watch(inquiry) | ServerEvent::Examine { inquiry, .. } => Some(inquiry),
        _ => None,
    });
    found.expect("the host is asked about")
}

#[test]
fn a_report_comes_in_pieces() {
    for (key, evidence) in [(None, 0), (Some("secret"), 0), (Some("secret"), 6)] {
        let now = start();
        let (mut client, mut server) = agreed(key, now);
        client.watch(now);
        let (_, asked) = converse(&mut client, &mut server, now);
        server.watching(inquiry(&asked));
        let (told, _) = converse(&mut client, &mut server, now);
        assert_eq!(told, [ClientEvent::Watching]);

        let round = client.begin_round();
        for index in 0..3 {
            let transmit = Transmit::new(GROUP.into(), client.datagram(round, index, 200));
            deliver(&mut server, now, CLIENT.into(), &transmit);
        }
        client.examine(now, round, 20);
        let (_, asked) = converse(&mut client, &mut server, now);
        let [
            ServerEvent::Examine {
                sent: 20, arrivals, ..
            },
        ] = &asked[..]
        else {
            panic!("{asked:?}");
        };
        assert_eq!(arrivals.len(), 1);
        assert_eq!(
            (arrivals[0].source, arrivals[0].datagrams),
            (CLIENT.into(), 3)
        );
        server.examined(inquiry(&asked), &report(evidence));
        let (told, _) = converse(&mut client, &mut server, now);
        assert_eq!(told, [ClientEvent::Examined(report(evidence))]);
    }
}

#[test]
fn an_old_answer_is_not_taken_for_a_new_question() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.watch(now);
    let (_, asked) = converse(&mut client, &mut server, now);
    let old = inquiry(&asked).clone();
    client.watch(now);
    let (_, asked) = converse(&mut client, &mut server, now);
    server.watching(&old);
    assert!(drain(&mut server).0.is_empty());
    server.watching(inquiry(&asked));
    assert_eq!(drain(&mut server).0.len(), 1);
}

#[test]
fn examinations_are_no_more_than_one_a_second() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    let mut granted = 0;
    loop {
        client.examine(now, 0, 0);
        let (told, asked) = converse(&mut client, &mut server, now);
        if told == [ClientEvent::Refused(Refusal::TooMuch)] {
            break;
        }
        server.examined(inquiry(&asked), &Report::default());
        converse(&mut client, &mut server, now);
        granted += 1;
    }
    assert_eq!(granted, 10);
    client.examine(now, 0, 0);
    let later = now + Duration::from_secs(1);
    client.examine(later, 0, 0);
    let (_, asked) = converse(&mut client, &mut server, later);
    inquiry(&asked);
}

/// A client that has asked for a report, and what it says to this answer of the server's.
fn after(body: Body) -> Vec<ClientEvent> {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.examine(now, 0, 0);
    let (requests, _) = drain(&mut client);
    let asked = Message::parse(&requests[0].payload, None).unwrap();
    deliver(&mut server, now, CLIENT.into(), &requests[0]);
    let mut told = Vec::new();
    for body in [Body::Examined { length: 3 }, body] {
        let number = asked.number + u32::from(matches!(body, Body::Chunk { .. }));
        let answer = Message {
            number,
            body,
            ..asked.clone()
        };
        let transmit = Transmit::new(CLIENT.into(), answer.emit(None, 0));
        deliver(&mut client, now, SERVER.into(), &transmit);
        told.extend(drain(&mut client).1);
    }
    told
}

#[test]
fn no_report_is_taken_that_is_too_long_or_not_as_announced() {
    let chunk = |chunk, bytes: &'static [u8]| Body::Chunk {
        chunk,
        bytes: bytes.into(),
    };
    assert_eq!(after(chunk(0, &[0, 0])), [ClientEvent::Unreadable]);
    assert_eq!(after(chunk(0, &[0; 4])), [ClientEvent::Unreadable]);
    assert_eq!(after(chunk(0, &[9; 3])), [ClientEvent::Unreadable]);
    assert_eq!(after(chunk(1, &[0; 3])), []);

    let now = start();
    let (mut client, _) = agreed(None, now);
    client.examine(now, 0, 0);
    let (requests, _) = drain(&mut client);
    let answer = Message {
        body: Body::Examined {
            length: u16::try_from(MAX_REPORT).unwrap() + 1,
        },
        ..Message::parse(&requests[0].payload, None).unwrap()
    };
    let transmit = Transmit::new(CLIENT.into(), answer.emit(None, 0));
    deliver(&mut client, now, SERVER.into(), &transmit);
    assert_eq!(drain(&mut client).1, [ClientEvent::Unreadable]);
}

#[test]
fn texts_of_a_peer_drive_no_terminal_and_have_a_bound() {
    let finding = Finding {
        title: "\u{1b}[2Jeth0\u{202e}\r\n\u{9b}31m".to_owned(),
        evidence: vec!["é".repeat(2000); 99],
        ..Finding::default()
    };
    let report = Report {
        steps: vec![Step::default(); 99],
        findings: vec![finding; 99],
    };
    let bytes = report.emit();
    assert!(bytes.len() <= MAX_REPORT);
    let read = Report::parse(&bytes).unwrap();
    assert_eq!(
        read.findings[0].title,
        "\u{fffd}[2Jeth0\u{fffd}\u{fffd}\u{fffd}\u{fffd}31m"
    );
    assert_eq!(read.findings[0].evidence, vec!["é".repeat(500); 12]);
    assert_eq!(read.steps.len(), 16);
    assert_eq!(
        Report::parse(&Report::default().emit()),
        Ok(Report::default())
    );
    let most = [&[255][..], &bytes[1..]].concat();
    Report::parse(&most).unwrap_err();
}
