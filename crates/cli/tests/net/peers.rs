//! Programs that others wrote, at the other end.

use manycast_lab::netns::{self, Host, Lab, Process};

use crate::{code, datagram, hosts_on, json, listen, run, send, start};

fn python(host: &Host, script: &str) -> Process {
    Process::start(host.command("python3").args(["-c", script]))
}

pub(crate) fn row_11_ncat_asks_our_server_and_our_client_asks_ncat() {
    netns::require(&["ncat"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut server = start(&b, &["echo", "--prefix", "OK..."]);
    server.wait_for_error_line("listening on ");
    let mut client = a.start("ncat -vv 10.0.0.2 8888 -u");
    for text in ["hello", "again"] {
        client.write_line(text);
        client.wait_for_line(&format!("OK...{text}"));
        let line = server.wait_for_line("Message[10.0.0.1:");
        assert!(line.ends_with(&format!("] - {text}")), "{line}");
    }

    let _ncat = a.start("ncat -u -l 5000 --sh-exec cat");
    a.wait_for_udp_port(5000);
    let asked = run(&b, &["ask", "10.0.0.1:5000", "hello"]);
    assert_eq!(code(&asked), 0, "{asked:?}");
    assert!(asked.stdout[0].ends_with(": hello"), "{asked:?}");
}

pub(crate) fn python_listens_and_sends() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut receiver = python(
        &b,
        "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 1000))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
             socket.inet_aton('239.192.0.100') + socket.inet_aton('10.0.0.2'))
print('joined', flush=True)
print(s.recvfrom(100), flush=True)
",
    );
    receiver.wait_for_line("joined");
    let sent = send(&a, &["239.192.0.100:1000", "Hello, world!", "--json"]);
    let from = json(&sent.stdout[0])["from"]
        .as_str()
        .unwrap()
        .replace(':', "', ");
    assert_eq!(
        receiver.wait_for_line("Hello"),
        format!("(b'Hello, world!', ('{from}))")
    );

    let mut listener = listen(&b, &["239.192.0.100:1000", "[ff15::1]:1000"]);
    let sender = python(
        &a,
        "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('10.0.0.1'))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
s.sendto(b'robot', ('239.192.0.100', 1000))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.sendto(b'robot 6', ('ff15::1', 1000, 0, socket.if_nametoindex('eth0')))
",
    );
    // They come by two sockets, and so in any order.
    let mut robots = [(); 2].map(|()| datagram(&mut listener));
    robots.sort_by_key(|robot| robot["bytes"].as_u64());
    let [text, hops] = ["text", "hops"].map(|field| robots.each_ref().map(|robot| &robot[field]));
    assert_eq!(text, ["robot", "robot 6"]);
    assert_eq!(hops[0], 2);
    assert!(sender.finish().status.success());
}

pub(crate) fn socat_listens_and_sends() {
    netns::require(&["socat"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut receiver = b.start("socat -u UDP4-RECV:5001,ip-add-membership=239.1.2.3:eth0 -");
    b.wait_for_group("eth0", "239.1.2.3".parse().unwrap());
    send(&a, &["239.1.2.3:5001", "hello, socat\n"]);
    assert_eq!(receiver.wait_for_line("hello"), "hello, socat");

    let mut listener = listen(&b, &["239.1.2.3:5002"]);
    let mut sender = a.start("socat -u - UDP4-DATAGRAM:239.1.2.3:5002,ip-multicast-if=10.0.0.1");
    sender.write_line("hello, manycast");
    assert_eq!(datagram(&mut listener)["text"], "hello, manycast\n");
}
