//! What a host tells of itself: in pieces, seldom, and harmless.

use std::time::Duration;

use manycast_types::Transmit;

use crate::{Protocol, Request};

use super::super::message::{Body, Message};
use super::super::{ClientEvent, Finding, Inquiry, MAX_REPORT, Refusal, Report, ServerEvent, Step};
use super::{
    CLIENT, ROUND, SERVER, agreed, converse, converse_on, deliver, drain, drain_all, start,
};

/// What a host could find on itself.
pub(super) fn report(evidence: usize) -> Report {
    let finding = Finding {
        code: "firewall-drops".to_owned(),
        severity: "fault".to_owned(),
        confidence: "proved".to_owned(),
        title: "a firewall of this host drops what comes".to_owned(),
        evidence: vec!["x".repeat(500); evidence],
        remedy: Some("mend it".to_owned()),
        verify: None,
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
        let mut now = start();
        let (mut client, mut server) = agreed(key, now);
        client.watch(now);
        let (_, asked) = converse(&mut client, &mut server, now);
        server.watching(inquiry(&asked));
        let (told, _) = converse(&mut client, &mut server, now);
        assert_eq!(told, [ClientEvent::Watching]);

        client.send(now, ROUND);
        converse_on(&mut client, &mut server, &mut now);
        client.examine(now);
        let (_, asked) = converse(&mut client, &mut server, now);
        let [
            ServerEvent::Examine {
                sent: 3, arrivals, ..
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

/// So that two sockets that share the port do not get what is meant for both.
#[test]
fn a_group_is_left_for_an_examination_and_joined_again_after_it() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.examine(now);
    let (_, asked) = converse(&mut client, &mut server, now);
    let inquiry = inquiry(&asked);
    assert!(server.suspend(inquiry));
    assert!(server.suspend(inquiry));
    let (_, events, requests) = drain_all(&mut server, now);
    let suspended = ServerEvent::Suspended(inquiry.clone());
    assert_eq!(
        events,
        [suspended.clone(), suspended],
        "told to each who asks"
    );
    assert!(matches!(requests[..], [Request::Leave { .. }]));
    server.examined(inquiry, &report(0));
    let (answers, events, requests) = drain_all(&mut server, now);
    assert!(matches!(requests[..], [Request::Join { .. }]));
    let examined = ServerEvent::Examined(inquiry.clone());
    assert_eq!(events, [examined], "and nobody new has agreed");
    assert_eq!(answers.len(), 1);

    // Not where nobody asks about it any more.
    client.examine(now);
    for transmit in drain(&mut client, now).0 {
        deliver(&mut server, now, CLIENT.into(), &transmit);
    }
    let (_, asked) = drain(&mut server, now);
    let last = super::report::inquiry(&asked).clone();
    assert!(server.suspend(&last));
    let _ = drain(&mut server, now);
    client.stop(now);
    for transmit in drain(&mut client, now).0 {
        deliver(&mut server, now, CLIENT.into(), &transmit);
    }
    let _ = drain(&mut server, now);
    server.examined(&last, &report(0));
    let (answers, _, requests) = drain_all(&mut server, now);
    assert!(answers.is_empty() && requests.is_empty(), "{requests:?}");
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
    assert!(drain(&mut server, now).0.is_empty());
    server.watching(inquiry(&asked));
    assert_eq!(drain(&mut server, now).0.len(), 1);
}

#[test]
fn examinations_are_no_more_than_one_a_second() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    let mut granted = 0;
    loop {
        client.examine(now);
        let (told, asked) = converse(&mut client, &mut server, now);
        if told == [ClientEvent::Refused(Refusal::TooMuch)] {
            break;
        }
        server.examined(inquiry(&asked), &Report::default());
        converse(&mut client, &mut server, now);
        granted += 1;
    }
    assert_eq!(granted, 9, "and a new group");
    client.examine(now);
    let later = now + Duration::from_secs(1);
    client.examine(later);
    let (_, asked) = converse(&mut client, &mut server, later);
    inquiry(&asked);
}

/// A client that has asked for a report, and what it says to this answer of the server's.
fn after(body: Body) -> Vec<ClientEvent> {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    client.examine(now);
    let (requests, _) = drain(&mut client, now);
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
        told.extend(drain(&mut client, now).1);
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
    client.examine(now);
    let (requests, _) = drain(&mut client, now);
    let answer = Message {
        body: Body::Examined {
            length: u16::try_from(MAX_REPORT).unwrap() + 1,
        },
        ..Message::parse(&requests[0].payload, None).unwrap()
    };
    let transmit = Transmit::new(CLIENT.into(), answer.emit(None, 0));
    deliver(&mut client, now, SERVER.into(), &transmit);
    assert_eq!(drain(&mut client, now).1, [ClientEvent::Unreadable]);
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

/// A host may take its time to examine itself.
#[test]
fn others_are_served_while_the_host_is_examined() {
    let mut now = start();
    let (mut client, mut server) = agreed(None, now);
    client.examine(now);
    let (_, asked) = converse(&mut client, &mut server, now);
    let inquiry = inquiry(&asked).clone();
    let mut other = super::other_client();
    other.start(now);
    converse(&mut other, &mut server, now);
    other.request(now, super::BURST);
    let (told, _) = converse_on(&mut other, &mut server, &mut now);
    assert!(matches!(told[..], [ClientEvent::Came(_)]), "{told:?}");
    server.examined(&inquiry, &report(1));
    let (told, _) = converse(&mut client, &mut server, now);
    assert_eq!(told, [ClientEvent::Examined(report(1))]);
}

/// A client that asks again does not wait for what it has asked before.
#[test]
fn a_group_is_joined_again_after_the_last_examination_that_left_it() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    let mut inquiries = Vec::new();
    for _ in 0..2 {
        client.examine(now);
        let (_, asked) = converse(&mut client, &mut server, now);
        let inquiry = inquiry(&asked).clone();
        assert!(server.suspend(&inquiry));
        let _ = drain(&mut server, now);
        inquiries.push(inquiry);
    }
    server.examined(&inquiries[0], &report(0));
    assert_eq!(drain_all(&mut server, now).2, []);
    server.examined(&inquiries[1], &report(0));
    let (_, _, requests) = drain_all(&mut server, now);
    assert!(
        matches!(requests[..], [Request::Join { .. }]),
        "{requests:?}"
    );
}

/// A host reads much of itself before it joins a group.
#[test]
fn new_groups_are_not_agreed_on_too_often() {
    let now = start();
    let mut server = super::server(None);
    let mut told = Vec::new();
    for last in 1..=12 {
        let mut client = super::client_of(([239, 1, 1, last], 5000), None);
        client.start(now);
        told.extend(converse(&mut client, &mut server, now).0);
        client.stop(now);
        converse(&mut client, &mut server, now);
    }
    let too_much = ClientEvent::Refused(Refusal::TooMuch);
    assert_eq!(told[..10], vec![ClientEvent::Welcome; 10]);
    assert_eq!(told[10..], [too_much.clone(), too_much]);
}
