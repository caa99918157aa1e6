//! What a lab promises, on the real kernel.
#![cfg(target_os = "linux")]

use std::net::UdpSocket;

use manycast_lab::netns::{self, Lab};

fn a_datagram_crosses_the_switch() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let (a, b) = (lab.host("a"), lab.host("b"));
    a.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    b.connect(&switch, "eth0", &["10.0.0.2/24", "fd00::2/64"]);

    let receiver = b.run(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
    a.run(|| {
        UdpSocket::bind("0.0.0.0:0")
            .unwrap()
            .send_to(b"hi", "10.0.0.2:5000")
            .unwrap()
    });
    let mut buffer = [0; 16];
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 2);
}

netns::tests!(a_datagram_crosses_the_switch);
