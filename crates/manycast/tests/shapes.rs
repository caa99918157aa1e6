//! The shapes that people have wished for, on the loopback interface.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use manycast::{Group, Listener, Sender, Socket, SocketConfig};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn row_36_a_listener_of_group_and_port() {
    let mut listener = manycast::listen(("239.192.0.100%lo", 5911)).unwrap();
    manycast::send(("239.192.0.100%lo", 5911), "Hello, world!").unwrap();
    assert_eq!(listener.recv().unwrap().payload, b"Hello, world!");

    // A time-out is optional, and so is a source.
    assert!(
        listener
            .recv_timeout(Duration::from_millis(1))
            .unwrap()
            .is_none()
    );
    let mut one_source = manycast::listen("127.0.0.1@239.192.0.101%lo:5911").unwrap();
    manycast::send("239.192.0.101%lo:5911", vec![7; 65_507]).unwrap();
    let received = one_source.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(
        (received.payload.len(), received.truncated),
        (65_507, false)
    );
}

#[test]
fn row_37_send_in_one_call_takes_bytes_and_text() {
    let mut listener = manycast::listen("239.192.0.100%lo:5912").unwrap();
    for payload in [&b"\xff\x00"[..], "grüß".as_bytes()] {
        let sent = manycast::send("239.192.0.100%lo:5912", payload).unwrap();
        assert_eq!(
            (sent.bytes, sent.to),
            (payload.len(), "239.192.0.100:5912".parse().unwrap())
        );
        assert_eq!((&*sent.interface.name, sent.hops), ("lo", 1));
        let received = listener.recv().unwrap();
        assert_eq!((received.payload, received.source), (payload, sent.from));
    }
    manycast::send("239.192.0.100%lo:5912", String::from("owned")).unwrap();
    assert_eq!(listener.recv().unwrap().payload, b"owned");
}

/// What was packed by hand once lost octets without an error.
#[test]
fn row_16_groups_are_values_and_are_joined_whole() {
    let group: IpAddr = [239, 192, 7, 100].into();
    let listener = manycast::listen(SocketAddr::new(group, 5913)).unwrap();
    assert!(listener.memberships().count() > 0);
    assert!(
        listener
            .memberships()
            .all(|joined| joined.group == SocketAddr::new(group, 5913))
    );
    let joined = manycast::joined_groups().unwrap();
    assert!(joined.iter().any(|joined| joined.group == group));

    let mut socket = Socket::bind("127.0.0.1:0").unwrap();
    assert!(socket.join(Group::new([192, 0, 2, 1].into())).is_err());
}

#[test]
fn row_39_the_verbs_of_io_socket_multicast_exist() {
    let mut socket = Socket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    assert!(socket.join("239.192.0.100%lo").unwrap());
    socket.set_multicast_hops(3).unwrap();
    socket.set_loopback(true).unwrap();
    socket
        .set_multicast_interface(Some(&"lo".parse().unwrap()))
        .unwrap();
    socket
        .send_to(SocketAddr::new([239, 192, 0, 100].into(), port), "to all")
        .unwrap();
    assert_eq!(
        socket.recv_timeout(PATIENCE).unwrap().unwrap().payload,
        b"to all"
    );
    assert!(socket.leave("239.192.0.100%lo").unwrap());
    socket
        .send_to(SocketAddr::new([239, 192, 0, 100].into(), port), "to none")
        .unwrap();
    assert!(socket.try_recv().unwrap().is_none());
}

/// One thread, one socket, no pool: the handler is a loop, and ends when it is told to.
#[test]
fn row_28_a_server_is_a_loop_over_one_socket_with_a_clean_end() {
    let mut server = Socket::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    let stopper = server.stopper().unwrap();
    let thread = std::thread::spawn(move || {
        let mut answered = 0;
        while let Ok(question) = server.recv().map(|received| received.to_datagram()) {
            server.answer(question.reply(), &question.payload).unwrap();
            answered += 1;
        }
        answered
    });
    let mut clients: Vec<_> = (0..10).map(|_| Socket::connect(to).unwrap()).collect();
    for client in &mut clients {
        client.send("ping").unwrap();
        assert_eq!(
            client.recv_timeout(PATIENCE).unwrap().unwrap().payload,
            b"ping"
        );
    }
    stopper.stop();
    assert_eq!(thread.join().unwrap(), 10);
    // The port is free again.
    drop(Socket::bind(to).unwrap());
}

#[test]
fn row_02_a_wait_ends_with_its_time_out_or_when_it_is_stopped() {
    let mut listener = manycast::listen("127.0.0.1:0").unwrap();
    let begin = std::time::Instant::now();
    assert!(
        listener
            .recv_timeout(Duration::from_millis(30))
            .unwrap()
            .is_none()
    );
    assert!(begin.elapsed() >= Duration::from_millis(30));
    let stopper = listener.stopper().unwrap();
    let waiting = std::thread::spawn(move || listener.recv().map(drop).unwrap_err().to_string());
    stopper.stop();
    assert_eq!(waiting.join().unwrap(), "stopped while waiting");
}

#[test]
fn a_listener_takes_groups_and_local_addresses_together() {
    let addresses = ["239.192.0.100%lo:5914", "127.0.0.1:0"];
    let mut listener = Listener::open(addresses, SocketConfig::default()).unwrap();
    let own: Vec<_> = listener.local_addrs().collect();
    assert_eq!(own.len(), 1);
    manycast::send("239.192.0.100%lo:5914", "group").unwrap();
    assert_eq!(
        listener.recv_timeout(PATIENCE).unwrap().unwrap().payload,
        b"group"
    );
    manycast::send(own[0], "host").unwrap();
    assert_eq!(
        listener
            .recv_timeout(PATIENCE)
            .unwrap()
            .unwrap()
            .destination,
        own[0]
    );
}

#[test]
fn what_can_have_no_sense_is_refused() {
    let error = Listener::open([""; 0], SocketConfig::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an empty list cannot be used here: there is nothing to listen on; give one address at least"
    );
    let error = Socket::connect("127.0.0.1:0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1:0 cannot be used here: it names no peer; write HOST:PORT"
    );
    let shown = format!("{error:?}");
    assert!(shown.starts_with("Unsuitable { address: "), "{shown}");
}

#[test]
fn every_way_of_receiving_tells_that_it_was_stopped() {
    let mut listener = manycast::listen("239.192.0.100%lo:5919").unwrap();
    listener.stopper().unwrap().stop();
    let stopped = |error| assert!(matches!(error, manycast::Error::Stopped), "{error}");
    stopped(listener.recv().unwrap_err());
    stopped(listener.recv_timeout(PATIENCE).unwrap_err());
    stopped(listener.try_recv().unwrap_err());
    stopped(listener.recv_batch(Some(PATIENCE)).err().unwrap());
    assert!(listener.next().is_none());
    assert!(matches!(
        listener.next_event(None),
        Err(manycast::Error::Stopped)
    ));
}

#[test]
fn neighbours_are_taken_together_but_no_more_than_are_wanted() {
    let mut listener = manycast::listen("239.192.0.102%lo:5921").unwrap();
    let sender = Sender::new("239.192.0.102%lo:5921").unwrap();
    let payloads: Vec<Vec<u8>> = (0..10).map(|number| vec![number; 100]).collect();
    sender.send_batch(&payloads).unwrap();
    // Of another length, and so in no piece with those before it; and an empty one.
    sender.send([10; 7]).unwrap();
    sender.send([]).unwrap();

    let take = |listener: &mut Listener, limit| {
        let run = listener.recv_run(limit, Some(PATIENCE)).unwrap();
        let run = run.expect("there are more");
        let payloads: Vec<_> = run.payloads().map(<[u8]>::to_vec).collect();
        let whole = payloads.concat();
        assert_eq!(run.whole().payload, whole);
        assert_eq!(run.whole().destination.port(), 5921);
        let same: Vec<_> = run.datagrams().map(|it| it.payload.to_vec()).collect();
        assert_eq!(same, payloads);
        payloads
    };
    assert_eq!(take(&mut listener, 3), payloads[..3]);
    assert_eq!(listener.recv().unwrap().payload, payloads[3]);
    assert_eq!(take(&mut listener, 2), payloads[4..6]);
    assert!(listener.recv_run(0, Some(PATIENCE)).unwrap().is_none());
    assert_eq!(take(&mut listener, 100), payloads[6..]);
    assert_eq!(take(&mut listener, 100), [[10; 7]]);
    assert_eq!(take(&mut listener, 100), [[0u8; 0]]);
    assert!(
        listener
            .recv_run(1, Some(Duration::ZERO))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_listener_that_is_down_to_one_socket_gives_it_away() {
    let addresses = ["239.192.0.100%lo:5920", "239.192.0.101%lo:5920"];
    let two = Listener::open(addresses, SocketConfig::default()).unwrap();
    assert!(two.into_fd().is_none());
    let mut one = Listener::open(addresses, SocketConfig::default()).unwrap();
    assert!(one.leave("239.192.0.101%lo:5920").unwrap());
    assert!(one.into_fd().is_some());
}
