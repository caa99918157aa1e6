//! Those who ask in the name of others, or for what they must not have.

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
    let (answers, _) = drain(server);
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
                let (answers, events) = drain(&mut server);
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
    client.request(now, BURST);
    let (_, asked) = converse(&mut client, &mut server, now);
    assert_eq!(order(&asked).client, CLIENT.into());
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
