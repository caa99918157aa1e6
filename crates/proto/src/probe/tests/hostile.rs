//! Those who ask in the name of others, or for what they must not have.

use proptest::prelude::*;

use super::super::fuzzing;
use super::*;

/// A hello that was not sent by a client of ours, and what comes back.
fn say_hello(
    server: &mut Server,
    now: Instant,
    from: SocketAddr,
    (nonce, cookie): ([u8; 16], [u8; 16]),
    group: SocketAddr,
) -> Message {
    let hello = Message {
        nonce,
        cookie,
        number: 1,
        body: Body::Hello {
            group,
            source: None,
        },
    };
    let transmit = Transmit::new(SERVER.into(), hello.emit(None, 0));
    deliver(server, now, from, &transmit);
    let (answers, _) = drain(server, now);
    Message::parse(&answers[0].payload, None).unwrap()
}

#[test]
fn the_cookie_of_a_refusal_is_worth_nothing() {
    let now = start();
    let mut server = server(None);
    for group in ["224.0.0.1:5000", "192.0.2.9:5000", "255.255.255.255:9"] {
        let group = group.parse().unwrap();
        let refusal = say_hello(&mut server, now, CLIENT.into(), ([7; 16], [0; 16]), group);
        assert_eq!(refusal.body, Body::Refused(Refusal::Group));
        // Neither as it is, nor with the cookie of a group that is allowed.
        let welcome = say_hello(
            &mut server,
            now,
            CLIENT.into(),
            ([7; 16], [0; 16]),
            GROUP.into(),
        );
        assert_eq!(welcome.body, Body::Welcome);
        for cookie in [refusal.cookie, welcome.cookie] {
            let again = say_hello(&mut server, now, CLIENT.into(), ([7; 16], cookie), group);
            assert_eq!(again.body, Body::Refused(Refusal::Group));
            for body in [Body::Send(BURST), Body::Watch, Body::Read { chunk: 0 }] {
                let request = Message {
                    nonce: [7; 16],
                    cookie,
                    number: 2,
                    body,
                };
                let transmit = Transmit::new(SERVER.into(), request.emit(None, 0));
                deliver(&mut server, now, CLIENT.into(), &transmit);
                let (answers, events) = drain(&mut server, now);
                assert!(answers.is_empty() && events.is_empty(), "{events:?}");
            }
        }
    }
}

#[test]
fn forged_and_replayed_hellos_drive_nobody_out() {
    let now = start();
    let (mut client, mut server) = agreed(None, now);
    let seen = say_hello(
        &mut server,
        now,
        ([10, 0, 9, 9], 9).into(),
        ([9; 16], [0; 16]),
        GROUP.into(),
    );
    for number in 0..10_000_u16 {
        let from = ([10, 0, 9, 9], number).into();
        // The cookie was given to another port.
        let answer = say_hello(&mut server, now, from, ([9; 16], seen.cookie), GROUP.into());
        assert_eq!(
            (answer.body, number == 9),
            (Body::Welcome, answer.cookie == seen.cookie)
        );
    }
    // One that is where it says takes no more than its part.
    for port in 1..1000 {
        let from: SocketAddr = ([10, 0, 8, 8], port).into();
        let welcome = say_hello(&mut server, now, from, ([8; 16], [0; 16]), GROUP.into());
        say_hello(
            &mut server,
            now,
            from,
            ([8; 16], welcome.cookie),
            GROUP.into(),
        );
    }
    client.watch(now);
    let (_, asked) = converse(&mut client, &mut server, now);
    assert!(matches!(&asked[..], [ServerEvent::Watch(it)] if it.client == CLIENT.into()));
}

/// Whoever has recorded a session, and cannot make messages without the key, plays it again.
#[test]
fn a_session_that_has_ended_is_not_replayed() {
    let mut now = start();
    let (mut client, mut server) = (client(Some("secret")), server(Some("secret")));
    client.start(now);
    let mut recorded = Vec::new();
    for _ in ["hello", "hello with the cookie", "requests"] {
        let (requests, told) = drain(&mut client, now);
        if told == [ClientEvent::Welcome] {
            client.request(now, BURST);
        }
        for request in requests.iter().chain(&drain(&mut client, now).0) {
            deliver(&mut server, now, CLIENT.into(), request);
            recorded.push(request.clone());
        }
        for answer in drain(&mut server, now).0 {
            deliver(&mut client, now, SERVER.into(), &answer);
        }
    }
    now += Duration::from_secs(1);
    client.stop(now);
    for bye in drain(&mut client, now).0 {
        deliver(&mut server, now, CLIENT.into(), &bye);
    }
    let _ = drain(&mut server, now);
    assert_eq!(
        recorded.len(),
        3,
        "two hellos and the request for datagrams"
    );
    for again in &recorded[1..] {
        deliver(&mut server, now, CLIENT.into(), again);
        let (sent, told) = drain(&mut server, now);
        assert!(sent.is_empty() && told.is_empty(), "{sent:?} {told:?}");
    }
}

#[test]
fn a_cookie_grows_old() {
    let now = start();
    let mut server = server(None);
    let first = say_hello(
        &mut server,
        now,
        CLIENT.into(),
        ([7; 16], [0; 16]),
        GROUP.into(),
    );
    let later = now + Duration::from_secs(121);
    let answer = say_hello(
        &mut server,
        later,
        CLIENT.into(),
        ([7; 16], first.cookie),
        GROUP.into(),
    );
    assert_eq!(answer.body, Body::Welcome);
    assert_ne!(
        answer.cookie, first.cookie,
        "it is asked to show itself again"
    );
}

#[test]
fn nothing_is_sent_for_whom_the_cookie_did_not_reach() {
    let now = start();
    let (_, mut server) = agreed(None, now);
    let forged = Message {
        nonce: [7; 16],
        cookie: [0; 16],
        number: 9,
        body: Body::Send(BURST),
    };
    let transmit = Transmit::new(SERVER.into(), forged.emit(None, 0));
    deliver(&mut server, now, CLIENT.into(), &transmit);
    let (transmits, events) = drain(&mut server, now);
    assert!(transmits.is_empty() && events.is_empty());
    assert_eq!(server.stats().strangers, 1);
}

/// How many sessions these clients get, one after another.
fn sessions(clients: impl Iterator<Item = SocketAddr>) -> usize {
    let now = start();
    let mut server = server(None);
    let mut begun = 0;
    for (number, from) in clients.enumerate() {
        let nonce = [u8::try_from(number).unwrap(); 16];
        let welcome = say_hello(&mut server, now, from, (nonce, [0; 16]), GROUP.into());
        let hello = Message {
            nonce,
            cookie: welcome.cookie,
            number: 1,
            body: Body::Hello {
                group: GROUP.into(),
                source: None,
            },
        };
        let transmit = Transmit::new(SERVER.into(), hello.emit(None, 0));
        deliver(&mut server, now, from, &transmit);
        let (answers, _) = drain(&mut server, now);
        let answer = Message::parse(&answers[0].payload, None).unwrap();
        begun += usize::from(answer.body == Body::Welcome);
    }
    begun
}

/// A host has all the addresses of a /64, so these are no more than one host.
#[test]
fn a_network_of_ipv6_has_the_share_of_one_host() {
    let now = start();
    let mut server = server(None);
    let mut other = Vec::new();
    for number in 0..100_u8 {
        let from: SocketAddr = format!("[2001:db8::{number:x}]:4000").parse().unwrap();
        let nonce = [number; 16];
        let welcome = say_hello(&mut server, now, from, (nonce, [0; 16]), GROUP.into());
        let again = say_hello(
            &mut server,
            now,
            from,
            (nonce, welcome.cookie),
            GROUP.into(),
        );
        assert_eq!(again.body, Body::Welcome);
        other.push((from, nonce, welcome.cookie));
    }
    // The latest eight are known, and have taken the places of the others.
    let known = other.iter().filter(|(from, nonce, cookie)| {
        let watch = Message {
            nonce: *nonce,
            cookie: *cookie,
            number: 2,
            body: Body::Watch,
        };
        let transmit = Transmit::new(SERVER.into(), watch.emit(None, 0));
        deliver(&mut server, now, *from, &transmit);
        !drain(&mut server, now).1.is_empty()
    });
    assert_eq!(known.count(), 8);
    // Hosts of as many networks have all of them, and no more.
    let hosts = |number: u16| SocketAddr::new([0x2001, 0xdb8, 0, number, 0, 0, 0, 1].into(), 4000);
    assert_eq!(sessions((0..100).map(hosts)), 32);
}

proptest! {
    /// A client that takes cookies out of whatever answer, and asks for anything with them.
    #[test]
    fn a_hostile_client_gets_nothing_that_it_must_not(script in prop::collection::vec(any::<u8>(), 0..4_000)) {
        fuzzing::server(&script, start());
    }
}

/// The hostile client gets far enough to do harm where a check is missing.
#[test]
fn a_hostile_client_has_sessions_and_has_datagrams_sent() {
    let step = |what, which, number| [what, 0, which, number, 4];
    let hello = [step(0, 0, 1), step(0, 0, 2)];
    let asked = [step(2, 32, 3), step(4, 0, 4), step(8, 0, 9)];
    let script = [&hello[..], &asked[..]].concat().concat();
    let reached = fuzzing::server(&script, start());
    assert_eq!(
        (reached.sessions, reached.examinations),
        (1, 1),
        "{reached:?}"
    );
    assert!(reached.datagrams > 0, "{reached:?}");
}
