//! What a TFTP server bears: a thousand transfers, and a flood of requests with forged sources.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use manycast::Transmit;
use manycast_lab::netns::{Host, Lab, Process, wait_until};

use crate::tftp::{Folder, content, same, serve};
use crate::{code, hosts_on, run};

/// A number that a process has in `/proc/PID/status`, in KiB.
fn kibibytes(process: &Process, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How long a file of a megabyte takes to be got.
fn service(client: &Host, here: &Folder, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    let to = here.path("got");
    let got = run(client, &["tftp", "get", "10.0.0.2/file", &to]);
    let elapsed = start.elapsed();
    assert_eq!(code(&got), 0, "{got:?}");
    same(&to, bytes);
    elapsed
}

/// Sends requests from one forged address after another, which never answer, some 8,000 a second: of
/// more than a server reads, the kernel drops what it likes, and no server could help that.
fn forge(socket: &manycast::Socket, server: SocketAddr, numbers: std::ops::Range<u32>) {
    let first = u32::from(Ipv4Addr::new(10, 64, 0, 0));
    let request = b"\0\x01file\0octet\0blksize\x001428\0windowsize\x0064\0";
    let all: Vec<u32> = numbers.collect();
    for some in all.chunks(64) {
        let transmits: Vec<_> = some
            .iter()
            .map(|number| {
                let mut transmit = Transmit::new(server, &request[..]);
                transmit.source = Some(IpAddr::from(Ipv4Addr::from(first + number)));
                transmit
            })
            .collect();
        let mut left = &transmits[..];
        while !left.is_empty() {
            left = &left[socket.send_batch(left).unwrap()..];
        }
        std::thread::park_timeout(Duration::from_millis(8));
    }
}

/// `docs/tftp.md` states what they come to; `MANYCAST_FLOOD=300000` has this test send so many. A test may
/// run for two minutes, so a million do not fit.
pub(crate) fn a_flood_of_forged_requests_changes_neither_memory_nor_service() {
    let count: u32 =
        std::env::var("MANYCAST_FLOOD").map_or(20_000, |count| count.parse().expect("a number"));
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    // All of the addresses are the attacker's, who has them all answered to one port.
    a.add_route("local 10.64.0.0/10 dev lo");
    b.add_route("10.64.0.0/10 via 10.0.0.1");
    let (folder, here) = (Folder::new("flood"), Folder::new("flood-here"));
    let bytes = content(1_000_001);
    fs::write(folder.path("file"), &bytes).unwrap();
    let server = serve(&b, &folder, &["--quiet"]);
    let socket = a.run(|| manycast::Socket::bind("0.0.0.0:5000").unwrap());
    let to: SocketAddr = ([10, 0, 0, 2], 69).into();
    let quiet = service(&c, &here, &bytes);
    // What a thousand requests that were not answered take is taken once.
    a.run(|| forge(&socket, to, 0..5_000));
    let before = kibibytes(&server, "VmRSS:");
    let start = Instant::now();
    let flood = a.spawn(move || {
        forge(&socket, to, 5_000..5_000 + count);
        socket
    });
    let mut slowest = service(&c, &here, &bytes);
    while !flood.is_finished() {
        slowest = slowest.max(service(&c, &here, &bytes));
    }
    let socket = flood.join();
    let elapsed = start.elapsed();
    let after = kibibytes(&server, "VmRSS:");
    eprintln!(
        "{count} forged requests in {elapsed:.1?}: memory {before} KiB before and {after} KiB after; \
         a file of 1 MB in {quiet:.0?} without them, in {slowest:.0?} at most with them"
    );
    assert!(
        after < before + (16 << 10),
        "{before} KiB, then {after} KiB"
    );
    // A request that is lost in the flood is sent again after a second, then after two and four more.
    assert!(slowest < quiet + Duration::from_secs(10), "{slowest:?}");
    drop(socket);
}

/// A thousand clients that ask for windows of a megabyte and take none of it.
pub(crate) fn a_thousand_transfers_have_bounded_memory() {
    const COUNT: usize = 1_000;
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("thousand");
    // Files of their own, so that nothing is shared.
    let bytes = content(1_300_000);
    for number in 0..COUNT {
        fs::write(folder.path(&number.to_string()), &bytes).unwrap();
    }
    let server = serve(&b, &folder, &["--quiet", "--limit-per-address", "1000"]);
    let clients: Vec<UdpSocket> =
        a.run(|| {
            (0..COUNT)
            .map(|number| {
                let client = UdpSocket::bind("10.0.0.1:0").unwrap();
                client
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .unwrap();
                let request = format!(
                    "\0\x01{number}\0octet\0blksize\x001428\0windowsize\x001000\0timeout\x00255\0"
                );
                let mut packet = [0; 2_000];
                let (length, transfer) = loop {
                    client.send_to(request.as_bytes(), "10.0.0.2:69").unwrap();
                    if let Ok(answer) = client.recv_from(&mut packet) {
                        break answer;
                    }
                };
                assert!(packet[..length].starts_with(b"\0\x06"), "{:?}", &packet[..length]);
                client.send_to(b"\0\x04\0\0", transfer).unwrap();
                client
            })
            .collect()
        });
    // Each has a window on its way: the server has read it, and keeps it to send it again.
    let mut packet = [0; 2_000];
    for client in &clients {
        let data = client.recv_from(&mut packet);
        assert!(packet.starts_with(b"\0\x03\0"), "{data:?}");
    }
    let mut most = 0;
    wait_until("the server has read what it sends", || {
        let now = kibibytes(&server, "VmHWM:");
        std::mem::replace(&mut most, now) == now
    });
    eprintln!("{COUNT} transfers with a window of 1 MB each: {most} KiB at most");
    assert!(most < 2 << 20, "{most} KiB");
}
