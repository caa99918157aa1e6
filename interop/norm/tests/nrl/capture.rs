//! What a dissector that others wrote makes of our datagrams.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use manycast_lab::netns::{self, Process};
use manycast_proto::norm::SenderConfig;
use manycast_proto::norm::message::FecId;

use crate::ends::{GROUP, Network, content, object, receiver, sender};

/// Both directions, with losses and two schemes, so that all types of messages are there: data,
/// information, commands, requests and acknowledgements, of both.
pub(crate) fn norm_is_what_a_dissector_takes_it_for() {
    netns::require(&["tshark"]);
    let network = Network::new();
    let path = network.path("capture");
    // It prints a line for each datagram that it has written.
    let words = ["-i", "eth0", "-f", "udp", "-n", "-l", "-P", "-w"];
    let mut command = network.ours.command("tshark");
    let mut capture = Process::start(command.args(words).arg(&path));
    capture.wait_for_error_line("Capture started");

    network.lose(5);
    let bytes = content(300_000);
    // Names of symbols by FEC Encoding ID 2 it takes for those by 129, which are longer.
    for fec in [FecId::ReedSolomon8, FecId::SmallBlock] {
        let _receiver = network.start_receiver(&network.path("came"), &["to=239.5.5.5"]);
        let config = SenderConfig { fec, ..sender() };
        let sent = network.send(config, object(&bytes));
        assert_eq!(sent.delivered, 1, "{sent:?}");
    }
    let receiving = network.receive(receiver());
    fs::write(network.path("sent"), &bytes).unwrap();
    let file = format!("file={}", network.path("sent").display());
    let mut sender = network.start("send", &["to=239.5.5.5", "receiver=1", &file]);
    sender.wait_for_line("watermark success");
    assert!(receiving.end(bytes.len()).objects[0].bytes == bytes);
    // What is captured last is a datagram of its own.
    let last = || UdpSocket::bind("0.0.0.0:0")?.send_to(b"last", "10.0.0.2:9");
    network.ours.run(last).unwrap();
    capture.wait_for_line(" 9 Len=4");
    capture.interrupt();
    assert!(capture.finish().status.success());

    let found = |filter: &str, how: &str| {
        let port = format!("udp.port=={},norm", GROUP.port());
        let output = Command::new("tshark")
            .args([
                "-d",
                &port,
                "--enable-protocol",
                "norm",
                how,
                "-Y",
                filter,
                "-r",
            ])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let others = found("udp.port == 6003 && !norm", "-x");
    assert!(others.is_empty(), "some datagrams are no NORM:\n{others}");
    // It takes a FEC instance for granted with FEC Encoding ID 129, which is but a warning.
    let malformed = found("_ws.malformed", "-x");
    assert!(
        malformed.is_empty(),
        "some messages are malformed:\n{malformed}"
    );
    for (name, of_ours) in [
        ("NORM_INFO", "norm.type == 1"),
        ("NORM_DATA", "norm.type == 2"),
        ("NORM_CMD", "norm.type == 3"),
        ("NORM_NACK", "norm.type == 4"),
        ("NORM_ACK", "norm.type == 5"),
    ] {
        let filter = format!("ip.src == 10.0.0.1 && {of_ours}");
        assert!(
            !found(&filter, "-n").is_empty(),
            "no {name} of ours was captured"
        );
    }
}
