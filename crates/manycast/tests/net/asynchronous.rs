//! The same behaviour on a Tokio runtime.

use std::future::Future;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use manycast::tokio::{Driver, Listener, Socket};
use manycast::{AskConfig, Error, Event, Output, Protocol, Received, Transmit, proto::ask};
use manycast_lab::netns::{Host, Lab};

use crate::{GROUPS, PORT, at, hosts, on, sender};

/// Runs a future on a runtime of one thread, on the host.
pub(crate) fn block_on<T: Send>(host: &Host, future: impl Future<Output = T> + Send) -> T {
    host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let limited = async { tokio::time::timeout(crate::PATIENCE, future).await };
        runtime
            .unwrap()
            .block_on(limited)
            .expect("it should have come to an end")
    })
}

/// Answers questions for the address of any name with 127.0.0.1 (RFC 1035 §4).
async fn serve_names(server: &tokio::net::UdpSocket) {
    let mut query = [0; 512];
    loop {
        let (_, from) = server.recv_from(&mut query).await.unwrap();
        // After the header, labels up to the empty one; then type and class.
        let mut end = 12;
        while query[end] != 0 {
            end += usize::from(query[end]) + 1;
        }
        let is_a = query[end + 1..end + 3] == [0, 1];
        let mut answer = vec![
            query[0],
            query[1],
            0x81,
            0x80,
            0,
            1,
            0,
            u8::from(is_a),
            0,
            0,
            0,
            0,
        ];
        answer.extend(&query[12..end + 5]);
        if is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        server.send_to(&answer, from).await.unwrap();
    }
}

/// The name server runs in the same event loop: a look-up that blocked it would never end.
pub(crate) fn row_63_names_are_looked_up_beside_the_event_loop() {
    let lab = Lab::new();
    let host = lab.host("a");
    std::fs::write("/run/resolv.conf", "nameserver 127.0.0.1\n").unwrap();
    let mut mount = Command::new("mount");
    let status = mount
        .args(["--bind", "/run/resolv.conf", "/etc/resolv.conf"])
        .status()
        .unwrap();
    assert!(status.success());

    block_on(&host, async {
        let names = tokio::net::UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let work = async {
            let mut server = Socket::bind("127.0.0.1:5000").await.unwrap();
            let sent = manycast::tokio::send("sender.example:5000", "by name")
                .await
                .unwrap();
            assert_eq!(sent.to.to_string(), "127.0.0.1:5000");
            assert_eq!(server.recv().await.unwrap().payload, b"by name");

            let mut client = Socket::connect("client.example:5000").await.unwrap();
            client.send("question").await.unwrap();
            let question = server.recv().await.unwrap().to_datagram();
            server.answer(question.reply(), "answer").await.unwrap();
            assert_eq!(client.recv().await.unwrap().payload, b"answer");
            client.reconnect("other.example:5001").await.unwrap();
            assert_eq!(
                client.get_ref().peer_addr(),
                Some("127.0.0.1:5001".parse().unwrap())
            );

            let mut listener = manycast::tokio::listen("listener.example:5002")
                .await
                .unwrap();
            manycast::tokio::send("127.0.0.1:5002", "heard")
                .await
                .unwrap();
            assert_eq!(listener.recv().await.unwrap().payload, b"heard");

            let asked =
                manycast::tokio::ask("asked.example:5003", "?", &AskConfig::default()).await;
            assert!(
                matches!(asked, Err(Error::ConnectionRefused { .. })),
                "{asked:?}"
            );
        };
        tokio::select! {
            () = work => {}
            () = serve_names(&names) => {}
        }
    });
}

pub(crate) fn a_listener_on_a_runtime_hears_its_group_alone_and_heals() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, other] in GROUPS {
        let (to_group, to_other) = (
            sender(&a, &on(group, "eth0")),
            sender(&a, &on(other, "eth0")),
        );
        let elsewhere = sender(&a, &on(group, "eth1"));
        let addresses = [on(group, "eth0")];
        block_on(&b, async {
            let mut listener = Listener::open(&addresses, Default::default())
                .await
                .unwrap();
            // A wait that is given up loses nothing.
            let wait = tokio::time::timeout(Duration::from_millis(1), listener.recv());
            assert!(wait.await.is_err());
            to_other.send("another group").unwrap();
            elsewhere.send("another interface").unwrap();
            to_group.send("the group").unwrap();
            assert_eq!(listener.recv().await.unwrap().payload, b"the group");

            b.delete_device("eth0");
            b.recreate_device("eth0");
            loop {
                if let Event::Joined(joined) = listener.next_event().await.unwrap() {
                    assert_eq!(&*joined.interface.name, "eth0");
                    break;
                }
            }
            to_group.send("healed").unwrap();
            let batch = listener.recv_batch().await.unwrap();
            let payloads: Vec<_> = batch.map(|received| received.payload.to_vec()).collect();
            assert_eq!(payloads, [b"healed"]);
        });
    }
}

pub(crate) fn row_65_a_refusal_on_a_runtime_is_not_fatal() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for own in ["10.0.0.2", "fd00::2"] {
        let to = at(own, PORT);
        block_on(&a, async {
            let mut socket = Socket::connect(&to).await.unwrap();
            socket.send("nobody there").await.unwrap();
            let error = socket.recv().await.map(drop).unwrap_err();
            assert!(matches!(error, Error::ConnectionRefused { .. }), "{error}");
            socket.send("still nobody").await.unwrap();
            let event = socket.next_event().await.unwrap();
            assert!(matches!(event, Event::Unreachable(told) if told.is_refused()));

            let mut server = crate::bind(&b, &to);
            socket.send("now").await.unwrap();
            let question = crate::receive(&b, &mut server);
            server.answer(question.reply(), "yes").unwrap();
            assert_eq!(socket.recv().await.unwrap().payload, b"yes");
        });
    }
}

pub(crate) fn a_driver_on_a_runtime_answers_until_it_is_dropped() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let question = on(group, "eth0");
        block_on(&b, async {
            let mut socket = Socket::bind(":5000").await.unwrap();
            socket.get_mut().join(group).unwrap();
            let mut driver =
                Driver::new(socket, ask::Responder::new(ask::ResponderConfig::default())).unwrap();
            let asking = a.spawn(move || {
                let config = AskConfig::default()
                    .answers(Some(1))
                    .timeout(crate::PATIENCE);
                manycast::ask(&*question, "hello", &config).unwrap()
            });
            assert!(driver.next_event().await.unwrap().is_some());
            assert_eq!(asking.join().len(), 1);
            assert!(!driver.is_finished());
        });
    }
}

/// Sends more than any send buffer holds.
struct Torrent {
    left: usize,
    to: SocketAddr,
}

impl Protocol for Torrent {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if self.left == 0 {
            return Output::Finished;
        }
        self.left -= 1;
        Output::Transmit(Transmit::new(self.to, vec![0; 1400].into()))
    }
}

pub(crate) fn a_full_send_buffer_does_not_hold_the_runtime() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    block_on(&a, async {
        let socket = Socket::bind(":0").await.unwrap();
        let to = "239.1.2.3:5000".parse().unwrap();
        let mut driver = Driver::new(socket, Torrent { left: 100_000, to }).unwrap();
        // It would take hours; whoever waits for something else is not kept from it.
        let result = tokio::time::timeout(Duration::from_millis(1), driver.next_event()).await;
        assert!(result.is_err(), "{result:?}");
        assert!(driver.protocol().left > 0);
    });
}

/// Of what the kernel takes in part the rest is waited for without holding the runtime, and sent once.
pub(crate) fn the_rest_of_a_transmit_does_not_hold_the_runtime() {
    const COUNT: u32 = 4096;
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut receiver = crate::bind(&b, "10.0.0.2:5000");
    let payload: Vec<u8> = (0..COUNT)
        .flat_map(|number| [number.to_be_bytes(); 250].concat())
        .collect();
    let mut transmit = Transmit::new(([10, 0, 0, 2], PORT).into(), &*payload);
    transmit.segment_size = Some(1000);
    block_on(&a, async {
        let socket = Socket::bind(":0").await.unwrap();
        a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
        let all = [transmit];
        let mut sending = std::pin::pin!(socket.send_batch(&all));
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut sending).await.is_err());
        // What is in the queue goes with it.
        a.output("tc qdisc del dev eth0 root");
        assert_eq!(sending.await.unwrap(), COUNT as usize);
    });
    let mut last = None;
    while last != Some(COUNT - 1) {
        let datagram = crate::receive(&b, &mut receiver);
        let number = u32::from_be_bytes(datagram.payload[..4].try_into().unwrap());
        assert!(last < Some(number), "{number} after {last:?}");
        last = Some(number);
    }
}

/// The half that sends is held by its full buffer, and the other receives meanwhile.
pub(crate) fn a_half_that_sends_waits_for_room_beside_one_that_receives() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    let sender = sender(&b, "10.0.1.1:5000");
    block_on(&a, async {
        let socket = Socket::bind(":5000").await.unwrap();
        let (sending, mut receiving) = socket.split();
        let to = "239.1.2.3%eth0:5000".parse::<manycast::Address>().unwrap();
        let flood = tokio::spawn(async move {
            // It would take hours.
            for _ in 0..100_000 {
                sending.send_to(&to, [0; 1000]).await.unwrap();
            }
        });
        for _ in 0..10 {
            b.run(|| sender.send("meanwhile").unwrap());
            assert_eq!(receiving.recv().await.unwrap().payload, b"meanwhile");
        }
        assert!(!flood.is_finished());
        flood.abort();
    });
}

/// A group has a socket of its own here, and what is answered by it waits for that one's room.
pub(crate) fn an_answer_waits_for_the_room_of_its_own_socket() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let sender = sender(&b, "239.1.2.3%eth0:5000");
    block_on(&a, async {
        let mut socket = Socket::bind("10.0.0.1:5000").await.unwrap();
        socket.get_mut().join("239.1.2.3%eth0").unwrap();
        b.run(|| sender.send("question").unwrap());
        let reply = socket.recv().await.unwrap().reply();
        a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
        while socket
            .get_ref()
            .try_send_batch(&[reply.with([0; 1000])])
            .unwrap()
            > 0
        {}
        let mut answer = std::pin::pin!(socket.answer(reply, [0; 1000]));
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut answer).await.is_err());
        a.output("tc qdisc del dev eth0 root");
        answer.await.unwrap();
    });
}

/// A refusal is an error of the socket, which is none of its room: who waits for that waits, and others
/// have their turns.
pub(crate) fn a_host_that_refuses_does_not_hold_the_runtime() {
    let lab = Lab::new();
    let [a, _b] = hosts(&lab, ["a", "b"]);
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    block_on(&a, async {
        let sender = manycast::tokio::Sender::new("10.0.0.2:9").await.unwrap();
        let flood = async {
            loop {
                let _ = sender.send([0; 1000]).await;
            }
        };
        let soon = Duration::from_millis(100);
        assert!(tokio::time::timeout(soon, flood).await.is_err());
        a.output("tc qdisc del dev eth0 root");
        sender.send([0; 1000]).await.unwrap();
    });
}

/// What the calls without a runtime make known to the poller is waited for on the runtime again.
pub(crate) fn waits_on_a_runtime_and_others_may_alternate_where_a_watch_runs() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let sender = sender(&b, "239.1.2.3%eth0:5000");
    block_on(&a, async {
        let address = "239.1.2.3%eth0:5000";
        let mut listener = manycast::tokio::listen(address).await.unwrap();
        for _ in 0..3 {
            assert!(listener.get_mut().try_recv().unwrap().is_none());
            b.run(|| sender.send("hello").unwrap());
            assert_eq!(listener.recv().await.unwrap().payload, b"hello");
        }
    });
}
