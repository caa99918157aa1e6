//! What a namespace of the kernel outside cannot show: devices that it may lack, and parameters of the
//! whole machine. `cargo xtask vm` runs these, in a virtual machine.

use std::fs;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use manycast::doctor::{self, Code, Confidence, ProgramChoice, Report, Severity};
use manycast_lab::netns::{self, Host, Lab, Process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::unseen::commands;
use crate::{
    GROUPS, Stream, address, assert_delivered, assert_fault, examine, examine_privileged, how,
    program, remedy, two_hosts,
};

/// What the machine itself does, outside of all namespaces.
#[track_caller]
fn on_the_machine(host: &Host, command: &str) {
    host.output(&format!("nsenter --net=/proc/1/ns/net {command}"));
}

pub(crate) fn an_interface_in_a_vrf() {
    for group in GROUPS {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        for command in [
            "ip link add red type vrf table 10",
            "ip link set red up",
            "ip link set eth0 master red",
        ] {
            b.output(command);
        }
        let on_eth0 = address(&format!("{group}%eth0"));
        let _stream = Stream::start(&a, &on_eth0);
        let report = examine_privileged(&b, &on_eth0, None);
        assert_fault(&report, Code::InVrf, Confidence::Likely);
        let report = examine(&b, &on_eth0);
        assert_fault(&report, Code::InVrf, Confidence::Likely);
        let mends = commands(&report);
        b.output(mends.iter().find(|mend| mend.contains("sysctl")).unwrap());
        assert_delivered(&examine(&b, &on_eth0));
    }
}

pub(crate) fn frames_with_the_tag_of_a_vlan() {
    for group in GROUPS {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        for command in [
            "ip link add link eth0 name eth0.7 type vlan id 7",
            "ip addr add 10.7.0.1/24 dev eth0.7",
            "ip addr add fd07::1/64 dev eth0.7 nodad",
            "ip link set eth0.7 up",
        ] {
            a.output(command);
        }
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0.7")));
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::ForeignFrame, Confidence::Likely);
        assert!(report.findings[0].title.contains("VLAN 7"), "{report:#?}");
        for command in commands(&report) {
            b.output(&command);
        }
        assert_delivered(&examine(&b, &address(&format!("{group}%eth0.7"))));
    }
}

/// A host that drops what it cannot track tracks twenty connections that last, and may track ten.
pub(crate) fn a_full_table_of_connections() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    b.nft(
        "table inet t {
            chain c {
                type filter hook input priority 0
                ct state invalid drop
            }
        }",
    );
    let server = "server = socket.create_server(('', 7000), backlog=20)";
    let client = "kept = [socket.create_connection(('10.0.0.2', 7000)) for _ in range(20)]";
    let _server = program(&b, server);
    let _client = program(&a, client);
    for group in GROUPS {
        let to = address(&format!("{group}%eth0"));
        for way in 0..2 {
            on_the_machine(&b, "sysctl -w net.netfilter.nf_conntrack_max=10");
            // The flow is new to the table.
            let _stream = Stream::start(&a, &to);
            let report = examine(&b, &address(group));
            assert_fault(&report, Code::ConntrackFull, Confidence::Likely);
            let report = examine_privileged(&b, &address(group), None);
            // What is sent to test is not tracked either, and counted along.
            assert_fault(&report, Code::ConntrackFull, Confidence::Likely);
            let (track_more, untracked) = ways_of_the_remedy(&report);
            if way == 0 {
                on_the_machine(&b, track_more);
            } else {
                let done = b.command("sh").args(["-c", &untracked]).status();
                assert!(done.unwrap().success(), "{untracked}");
            }
            assert_delivered(&examine(&b, &address(group)));
        }
        b.output("nft delete table inet untracked");
    }
}

/// The command that lets the host track more, and those that let it not track the stream.
fn ways_of_the_remedy(report: &Report) -> (&str, String) {
    let (_, track_more) = remedy(report).split_once("sudo ").unwrap();
    let (track_more, untracked) = track_more.split_once("; or do not track these: ").unwrap();
    (track_more, untracked.replace("sudo ", ""))
}

/// The limit is of the whole machine, and older kernels show it there alone; a program asks for its
/// buffer when it starts. It sends to itself, since the machine has no network.
pub(crate) fn a_receive_buffer_may_be_larger() {
    let lab = Lab::new();
    let host = lab.host("a");
    on_the_machine(&host, "ip link set lo up");
    let group = "239.1.2.3";
    let script = format!(
        "import socket, struct, threading
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(0, socket.IP_MULTICAST_IF, bytes(8) + struct.pack('@I', 1))
    return s
s = udp()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
s.bind(('', 5000))
s.setsockopt(0, 35, socket.inet_aton('{group}') + bytes(4) + struct.pack('@I', 1))
threading.Thread(target=lambda: [s.recv(2048) for _ in iter(int, 1)], daemon=True).start()
def send():
    other = udp()
    while not threading.Event().wait(.01): other.sendto(b'x', ('{group}', 5000))
threading.Thread(target=send, daemon=True).start()
print('ready', flush=True)
input()"
    );
    let start = || {
        let mut command = host.command("nsenter");
        command.args(["--net=/proc/1/ns/net", "python3", "-u", "-c", &script]);
        let mut process = Process::start(&mut command);
        process.wait_for_line("ready");
        process
    };
    on_the_machine(&host, "sysctl -w net.core.rmem_max=212992");
    let small = start();
    let remedy = found(&on_loopback(&small), Code::ReceiveBufferCapped).unwrap();
    on_the_machine(&host, remedy.strip_prefix("sudo ").unwrap());
    drop(small);
    let report = on_loopback(&start());
    assert_delivered(&report);
    assert_eq!(
        found(&report, Code::ReceiveBufferCapped),
        None,
        "{report:#?}"
    );
}

/// What is found of a program of the machine itself.
fn on_loopback(process: &Process) -> Report {
    let pid = ProgramChoice::Pid(process.id());
    let examine = move || {
        let machine = fs::File::open("/proc/1/ns/net").unwrap();
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(machine.as_fd(), network).unwrap();
        doctor::examine("239.1.2.3%lo:5000", &how(Duration::from_secs(2), Some(pid))).unwrap()
    };
    thread::spawn(examine).join().unwrap()
}

/// Two radios of the kernel's simulation, in one cell without an access point.
pub(crate) fn an_interface_by_radio() {
    netns::require(&["iw"]);
    let lab = Lab::new();
    let hosts = ["a", "b"].map(|name| lab.host(name));
    for (number, host) in hosts.iter().enumerate() {
        host.run(|| {
            let thread = fs::read_link("/proc/thread-self").unwrap();
            let thread = thread.file_name().unwrap().to_str().unwrap();
            on_the_machine(host, &format!("iw phy#{number} set netns {thread}"));
        });
        for command in [
            format!("ip link set wlan{number} name eth0"),
            "iw dev eth0 set type ibss".to_owned(),
            format!("ip addr add 10.0.0.{}/24 dev eth0", number + 1),
            "ip link set eth0 up".to_owned(),
            "iw dev eth0 ibss join cell 2412 fixed-freq 02:12:34:56:78:9a".to_owned(),
        ] {
            host.output(&command);
        }
    }
    let [a, b] = &hosts;
    let _stream = Stream::start(a, &address("239.1.2.3%eth0"));
    let report = examine(b, &address("239.1.2.3"));
    assert_delivered(&report);
    let by_radio = |report: &Report| found(report, Code::Wireless);
    let remedy = by_radio(&report).unwrap();
    assert!(remedy.contains("use a cable"), "{remedy}");
    let switch = lab.switch("sw");
    a.connect(&switch, "eth1", &["10.1.0.1/24"]);
    b.connect(&switch, "eth1", &["10.1.0.2/24"]);
    let _stream = Stream::start(a, &address("239.1.2.4%eth1"));
    let report = examine(b, &address("239.1.2.4%eth1"));
    assert_delivered(&report);
    assert_eq!(by_radio(&report), None, "{report:#?}");
}

/// A container on a bridge of its host, which forwards no group from outside; a macvlan gets them.
pub(crate) fn the_network_of_a_container() {
    let lab = Lab::new();
    let (inside, outside) = (lab.switch("docker0"), lab.switch("sw"));
    let [a, b] = [lab.host("a"), lab.host("b")];
    a.connect(&outside, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    b.connect(&inside, "eth0", &["172.17.0.2/16", "fd17::2/64"]);
    fs::write("/.dockerenv", "").unwrap();
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        let remedy = found(&report, Code::ContainerNetwork).unwrap();
        assert!(remedy.contains("a macvlan"), "{remedy}");
    }
    // The link to the network outside, of which a macvlan is made.
    b.connect(&outside, "wire", &[]);
    b.output("ip link add link wire name eth1 type macvlan mode bridge");
    b.output("ip addr add 10.0.0.2/24 dev eth1");
    b.output("ip link set eth1 up");
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(&format!("{group}%eth1")));
        assert_delivered(&report);
        assert_eq!(found(&report, Code::ContainerNetwork), None, "{report:#?}");
    }
}

/// The remedy of a warning, if there is that one.
fn found(report: &Report, code: Code) -> Option<String> {
    let mut findings = report.findings.iter();
    let found = findings.find(|found| found.code == code)?;
    assert_eq!(found.severity, Severity::Warning, "{report:#?}");
    found.remedy.clone()
}
