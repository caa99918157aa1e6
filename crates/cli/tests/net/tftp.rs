//! Files by TFTP, with this command at both ends and with programs that others wrote.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use manycast_lab::netns::{self, Host, Lab, Process};

use crate::{code, hosts_on, json, run, send_signal, start};

/// A folder that is gone at the end.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tftp-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file whose length is no multiple of a block, and that is no text.
pub(crate) fn content(length: usize) -> Vec<u8> {
    std::iter::successors(Some(1_u64), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

pub(crate) fn serve(host: &Host, folder: &Folder, arguments: &[&str]) -> Process {
    let folder = folder.text();
    let server = start(host, &[&["tftp", "serve", &folder], arguments].concat());
    host.wait_for_udp_port(69);
    server
}

pub(crate) fn same(one: impl AsRef<Path>, other: &[u8]) {
    assert!(fs::read(one).unwrap() == other, "another content");
}

/// Gets a file with this command, and puts one, where a server takes it.
fn get_and_put(client: &Host, folder: &Folder, here: &Folder, put: bool, options: &[&str]) {
    let bytes = content(1_000_001);
    fs::write(folder.path("file"), &bytes).unwrap();
    let back = here.path("back");
    let get = ["tftp", "get", "10.0.0.2/file", &back, "--json", "-t", "20"];
    let got = run(client, &[&get, options].concat());
    assert_eq!(code(&got), 0, "{got:?}");
    same(&back, &bytes);
    if put {
        let put = ["tftp", "put", &back, "10.0.0.2/new", "-t", "20"];
        let put = run(client, &[&put, options].concat());
        assert_eq!(code(&put), 0, "{put:?}");
        same(folder.path("new"), &bytes);
        fs::remove_file(folder.path("new")).unwrap();
    }
}

pub(crate) fn a_file_comes_and_goes_and_each_transfer_is_a_line() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (folder, here) = (Folder::new("lines"), Folder::new("lines-here"));
    let mut server = serve(&b, &folder, &["--write", "--json"]);
    get_and_put(&a, &folder, &here, true, &[]);
    for operation in ["read", "write"] {
        let line = json(&server.wait_for_line(&format!("\"operation\":\"{operation}\"")));
        assert_eq!(
            (&line["bytes"], &line["result"]),
            (&1_000_001.into(), &"done".into())
        );
        assert_eq!(line["block_size"], 1428);
    }
    fs::write(folder.path("text"), "one\ntwo\n").unwrap();
    let shown = run(&a, &["tftp", "get", "10.0.0.2/text", "-"]);
    assert_eq!(
        (code(&shown), &shown.stdout[..]),
        (0, &["one".to_owned(), "two".to_owned()][..])
    );
    let missing = run(&a, &["tftp", "get", "10.0.0.2/missing", &here.path("x")]);
    assert_eq!(code(&missing), 1);
    assert_eq!(
        missing.stderr,
        [
            "manycast: cannot get missing from 10.0.0.2:69: the other end says: file not found (error 1)"
        ]
    );
    let again = run(&a, &["tftp", "put", &here.path("back"), "10.0.0.2/file"]);
    assert_eq!(code(&again), 1);
    assert!(
        again.stderr[0].ends_with("the file is there already (error 6)"),
        "{again:?}"
    );
    let nowhere = run(
        &a,
        &["tftp", "put", &here.path("back"), "10.0.0.2/no/where/x"],
    );
    assert_eq!(code(&nowhere), 1);
    assert!(
        nowhere.stderr[0]
            .ends_with("the other end says: the folder no/where is not there (error 1)"),
        "{nowhere:?}"
    );
}

/// Nothing was agreed yet: it is a stop all the same, and not an answer of the server.
pub(crate) fn an_interrupt_before_the_server_answers() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _silent = b.run(|| std::net::UdpSocket::bind("10.0.0.2:69").unwrap());
    let here = Folder::new("interrupted");
    fs::write(here.path("put"), b"bytes").unwrap();
    for (verb, from, to) in [
        ("get", "10.0.0.2/got".to_owned(), here.path("got")),
        ("put", here.path("put"), "10.0.0.2/put".to_owned()),
    ] {
        let mut transfer = start(&a, &["tftp", verb, &from, &to]);
        transfer.wait_for_error_line("no answer yet");
        transfer.interrupt();
        let finished = transfer.finish();
        assert_eq!(code(&finished), 1, "{finished:?}");
        let last = finished.stderr.last().unwrap();
        assert_eq!(last, "stopped; nothing is left behind", "{finished:?}");
    }
    let left = fs::read_dir(here.text()).unwrap();
    assert_eq!(left.count(), 1);
}

/// Nobody has the address: the kernel says so when nobody has answered to ARP, long before the
/// time-out; and before that it is told what is waited for.
pub(crate) fn a_host_that_is_not_there_is_told() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let here = Folder::new("no-host");
    let get = run(
        &a,
        &[
            "tftp",
            "get",
            "10.0.0.9/file",
            &here.path("file"),
            "-t",
            "1m",
        ],
    );
    assert_eq!(code(&get), 1, "{get:?}");
    assert_eq!(
        get.stderr,
        [
            "no answer yet from 10.0.0.9:69, trying for 60 s",
            "manycast: cannot get file from 10.0.0.9:69: No route to host (os error 113); \
             see whether the host is up, and its address is right"
        ]
    );
}

/// Killing either end, by the hardest signal and at any time, leaves no file under the final name.
pub(crate) fn whoever_is_killed_leaves_no_half_file() {
    const LENGTH: usize = 4_000_000;
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (folder, here) = (Folder::new("killed"), Folder::new("killed-here"));
    let large = content(LENGTH);
    fs::write(folder.path("large"), &large).unwrap();
    fs::write(here.path("large"), &large).unwrap();
    // How much has come, in the file of a temporary name; 0 too where there is none.
    let come = |folder: &Folder| {
        let entries = fs::read_dir(&folder.0).unwrap().flatten();
        let parts = entries.filter(|it| it.path().extension().is_some_and(|it| it == "part"));
        parts
            .filter_map(|it| it.metadata().ok())
            .map(|it| it.len())
            .max()
    };
    // Some so early that nothing has come, some in the middle, some near the end.
    for (kill_server, enough) in [
        (false, 0),
        (false, 1),
        (false, LENGTH as u64 * 9 / 10),
        (true, 1),
        (true, LENGTH as u64 / 2),
    ] {
        let server = serve(&b, &folder, &["--write"]);
        let (to, from) = (here.path("got"), here.path("large"));
        let slow = ["--block-size", "512", "--window", "1", "-t", "2"];
        let get = ["tftp", "get", "10.0.0.2/large", &to];
        let get = start(&a, &[&get, &slow[..]].concat());
        netns::wait_until("enough of the first file has come", || {
            enough == 0 || come(&here).is_some_and(|it| it >= enough) || Path::new(&to).exists()
        });
        assert!(!Path::new(&to).exists(), "it was over too soon");
        kill_one(kill_server, &server, get);
        drop(server);
        assert!(!Path::new(&to).exists());

        let server = serve(&b, &folder, &["--write"]);
        let put = ["tftp", "put", &from, "10.0.0.2/put"];
        let put = start(&a, &[&put, &slow[..]].concat());
        let there = folder.path("put");
        netns::wait_until("enough of the second file has come", || {
            enough == 0
                || come(&folder).is_some_and(|it| it >= enough)
                || Path::new(&there).exists()
        });
        assert!(!Path::new(&there).exists(), "it was over too soon");
        kill_one(kill_server, &server, put);
        drop(server);
        assert!(!Path::new(&there).exists());
        for folder in [&folder, &here] {
            for entry in fs::read_dir(&folder.0).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|it| it == "part") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }
}

fn kill_one(kill_server: bool, server: &Process, client: Process) {
    if kill_server {
        send_signal(server, "-KILL");
        assert_ne!(client.finish().status.code(), Some(0));
    } else {
        send_signal(&client, "-KILL");
        client.finish();
    }
}

/// A full disk is error 3 and one sentence, at either end.
pub(crate) fn a_full_disk_is_one_sentence() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (folder, here) = (Folder::new("full"), Folder::new("full-here"));
    let small = Folder::new("full-small");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", &small.text()])
        .status()
        .unwrap();
    assert!(mounted.success());
    fs::write(folder.path("large"), content(3_000_000)).unwrap();
    let server = serve(&b, &folder, &[]);
    let got = run(&a, &["tftp", "get", "10.0.0.2/large", &small.path("large")]);
    assert_eq!(code(&got), 2);
    let [line] = &got.stderr[..] else {
        panic!("{got:?}");
    };
    assert!(
        line.contains("No space left on device (os error 28); make room"),
        "{line}"
    );
    assert_eq!(fs::read_dir(&small.0).unwrap().count(), 0);
    drop(server);

    fs::write(here.path("large"), content(3_000_000)).unwrap();
    let _server = serve(&b, &small, &["--write"]);
    let put = run(&a, &["tftp", "put", &here.path("large"), "10.0.0.2/large"]);
    assert_eq!(code(&put), 1);
    let [line] = &put.stderr[..] else {
        panic!("{put:?}");
    };
    assert!(line.ends_with("the disk is full (error 3)"), "{line}");
    while fs::read_dir(&small.0).unwrap().count() > 0 {
        std::thread::yield_now();
    }
    let unmounted = std::process::Command::new("umount").arg(&small.0).status();
    assert!(unmounted.is_ok());
}

pub(crate) fn several_get_one_file_by_multicast() {
    let lab = Lab::new();
    let [a, b, c, d] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c", "d"]);
    let (folder, here) = (Folder::new("group"), Folder::new("group-here"));
    let bytes = content(1_000_001);
    fs::write(folder.path("file"), &bytes).unwrap();
    let _server = serve(&b, &folder, &["--multicast", "239.255.0.1-239.255.0.4"]);
    let clients: Vec<_> = [&a, &c, &d]
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let to = here.path(&index.to_string());
            start(
                host,
                &["tftp", "get", "10.0.0.2/file", &to, "--multicast", "--json"],
            )
        })
        .collect();
    for (index, client) in clients.into_iter().enumerate() {
        let finished = client.finish();
        assert_eq!(code(&finished), 0, "{finished:?}");
        let line = json(&finished.stdout[0]);
        assert!(
            line["group"].as_str().unwrap().starts_with("239.255.0."),
            "{line}"
        );
        same(here.path(&index.to_string()), &bytes);
    }
}

pub(crate) fn tftp_atftpd_serves_us_with_windows_and_to_a_group() {
    netns::require(&["atftpd"]);
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let (folder, here) = (Folder::new("atftpd"), Folder::new("atftpd-here"));
    let _server = b.start(&format!(
        "atftpd --daemon --no-fork --logfile - --user root.root --mcast-addr 239.255.0.1-10 \
         --mcast-port 1758-1768 --mcast-ttl 4 {}",
        folder.text()
    ));
    b.wait_for_udp_port(69);
    get_and_put(&a, &folder, &here, true, &[]);
    get_and_put(
        &a,
        &folder,
        &here,
        true,
        &["--window", "8", "--block-size", "1000"],
    );
    // Two at once, of whom one acknowledges.
    let bytes = content(1_000_001);
    let clients = [&a, &c].map(|host| {
        let to = here.path(&format!("{host:p}"));
        let get = ["tftp", "get", "10.0.0.2/file", &to, "--multicast", "--json"];
        (start(host, &get), to)
    });
    for (client, to) in clients {
        let finished = client.finish();
        assert_eq!(code(&finished), 0, "{finished:?}");
        same(to, &bytes);
    }
}

pub(crate) fn tftp_dnsmasq_serves_us() {
    netns::require(&["dnsmasq"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (folder, here) = (Folder::new("dnsmasq"), Folder::new("dnsmasq-here"));
    let _server = b.start(&format!(
        "dnsmasq --no-daemon --port=0 --enable-tftp --tftp-root={} --user=root --group=root \
         --conf-file=/dev/null --pid-file= --dhcp-leasefile=/dev/null",
        folder.text()
    ));
    b.wait_for_udp_port(69);
    get_and_put(&a, &folder, &here, false, &[]);
}

/// Lets a client of others get a file from this server, and put one, with these arguments; `BACK` is
/// the file of the client.
fn serve_others(program: &str, get: &[&str], put: &[&str]) {
    netns::require(&[program]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new(&format!("to-{program}"));
    let here = Folder::new(&format!("to-{program}-here"));
    let back = here.path("back");
    let bytes = content(1_000_001);
    fs::write(folder.path("file"), &bytes).unwrap();
    for single_port in [&[][..], &["--single-port"]] {
        let _server = serve(&b, &folder, &[&["--write"], single_port].concat());
        for arguments in [get, put] {
            let mut command = a.command(program);
            command.args(arguments.iter().map(|it| it.replace("BACK", &back)));
            let finished = Process::start(&mut command).finish();
            assert!(finished.status.success(), "{finished:?}");
        }
        same(&back, &bytes);
        same(folder.path("new"), &bytes);
        fs::remove_file(folder.path("new")).unwrap();
        fs::remove_file(&back).unwrap();
    }
}

pub(crate) fn tftp_hpa_is_served() {
    serve_others(
        "tftp",
        &["-m", "binary", "10.0.0.2", "-c", "get", "file", "BACK"],
        &["-m", "binary", "10.0.0.2", "-c", "put", "BACK", "new"],
    );
}

pub(crate) fn tftp_atftp_is_served_with_windows() {
    let options = ["--option", "blksize 1428", "--option", "windowsize 8"];
    serve_others(
        "atftp",
        &[
            &options[..],
            &["-g", "-r", "file", "-l", "BACK", "10.0.0.2"],
        ]
        .concat(),
        &[&options[..], &["-p", "-r", "new", "-l", "BACK", "10.0.0.2"]].concat(),
    );
}

pub(crate) fn tftp_curl_is_served() {
    let (from, to) = ("tftp://10.0.0.2/file", "tftp://10.0.0.2/new");
    serve_others(
        "curl",
        &["-s", "--tftp-blksize", "1428", from, "-o", "BACK"],
        &["-s", "--tftp-blksize", "8192", "-T", "BACK", to],
    );
}

pub(crate) fn tftp_busybox_is_served() {
    serve_others(
        "busybox",
        &[
            "tftp", "-b", "1428", "-g", "-r", "file", "-l", "BACK", "10.0.0.2",
        ],
        &["tftp", "-p", "-r", "new", "-l", "BACK", "10.0.0.2"],
    );
}

pub(crate) fn tftp_atftp_clients_share_a_group() {
    netns::require(&["atftp"]);
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let (folder, here) = (Folder::new("share"), Folder::new("share-here"));
    let bytes = content(1_000_001);
    fs::write(folder.path("file"), &bytes).unwrap();
    let _server = serve(&b, &folder, &["--multicast", "239.255.0.1-239.255.0.4"]);
    let clients = [&a, &c].map(|host| {
        // Without a route it would not know where to join.
        host.add_route("239.0.0.0/8 dev eth0");
        let to = here.path(&format!("{host:p}"));
        let mut atftp = host.command("atftp");
        atftp.args(["--option", "multicast", "--option", "blksize 1428"]);
        atftp.args(["-g", "-r", "file", "-l", &to, "10.0.0.2"]);
        (Process::start(&mut atftp), to)
    });
    for (client, to) in clients {
        let finished = client.finish();
        assert!(finished.status.success(), "{finished:?}");
        same(to, &bytes);
    }
}

/// Captures what comes to `eth0` into a file, and what the arguments say.
pub(crate) fn capturing(host: &Host, capture: &str, filter: &str, arguments: &[&str]) -> Process {
    let mut tshark = host.command("tshark");
    tshark.args(["-i", "eth0", "-w", capture, "-F", "pcap", "-f", filter]);
    let mut tshark = Process::start(tshark.args(arguments));
    tshark.wait_for_error_line("Capturing on");
    // What it has told is before it captures: it does when the file has a header.
    netns::wait_until("the header of a capture", || {
        fs::metadata(capture).map_or(0, |it| it.len()) >= 24
    });
    tshark
}

/// Its dissector finds no malformed packet in what this command sends.
pub(crate) fn tftp_tshark_understands_all() {
    netns::require(&["tshark"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (folder, here) = (Folder::new("shark"), Folder::new("shark-here"));
    let capture = here.path("capture.pcap");
    let mut tshark = capturing(&b, &capture, "udp", &[]);
    let groups = ["--write", "--multicast", "239.255.0.1"];
    let server = serve(&b, &folder, &groups);
    run(&a, &["tftp", "get", "10.0.0.2/missing", &here.path("x")]);
    get_and_put(&a, &folder, &here, false, &["--multicast"]);
    get_and_put(&a, &folder, &here, true, &["--window", "4"]);
    get_and_put(
        &a,
        &folder,
        &here,
        true,
        &["--window", "1", "--block-size", "512"],
    );
    drop(server);
    tshark.interrupt();
    tshark.finish();
    let count = |filter: &str| {
        let mut read = b.command("tshark");
        // The data to the group have a port of their own, which it does not know for one of TFTP.
        read.args(["-r", &capture, "-d", "udp.port==1758,tftp", "-Y", filter]);
        Process::start(&mut read).finish().stdout.len()
    };
    assert!(count("tftp") > 1_000);
    assert!(count("tftp.opcode == 6") >= 4);
    assert!(count("tftp && ip.dst == 239.255.0.1") >= 10);
    assert!(count("tftp.opcode == 5") >= 1);
    assert_eq!(count("_ws.malformed"), 0);
}

/// A machine without a disk, whose network card has iPXE in its ROM, boots its first file from this
/// server: a script, which has it fetch a second one.
pub(crate) fn tftp_ipxe_boots_its_first_file() {
    netns::require(&["dnsmasq", "qemu-system-x86_64"]);
    let lab = Lab::new();
    let host = lab.host("a");
    for line in [
        "ip link add br0 type bridge",
        "ip addr add 10.0.0.2/24 dev br0",
        "ip link set br0 up",
        "ip tuntap add tap0 mode tap",
        "ip link set tap0 master br0",
        "ip link set tap0 up",
    ] {
        host.output(line);
    }
    let folder = Folder::new("ipxe");
    fs::write(
        folder.path("first"),
        "#!ipxe\nchain tftp://10.0.0.2/second\n",
    )
    .unwrap();
    fs::write(folder.path("second"), "#!ipxe\nshell\n").unwrap();
    let mut server = serve(&host, &folder, &["--json"]);
    let _dhcp = host.start(
        "dnsmasq --no-daemon --port=0 --interface=br0 --dhcp-range=10.0.0.50,10.0.0.60,1h \
         --dhcp-boot=first,10.0.0.2,10.0.0.2 --user=root --group=root --conf-file=/dev/null \
         --pid-file= --dhcp-leasefile=/dev/null",
    );
    host.wait_for_udp_port(67);
    let mut machine = host.start(
        "qemu-system-x86_64 -accel tcg -m 128 -display none -vga none -monitor none -boot n \
         -netdev tap,id=n,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=n",
    );
    // The emulated machine takes its time to come to its network card.
    let deadline = Instant::now() + Duration::from_secs(60);
    let booted = |server: &Process| server.stdout().iter().any(|it| it.contains("\"second\""));
    while !booted(&server) {
        assert!(
            machine.is_running() && Instant::now() < deadline,
            "{server:?}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
    for name in ["first", "second"] {
        let line = json(&server.wait_for_line(name));
        assert_eq!(
            (&line["result"], &line["file"]),
            (&"done".into(), &name.into())
        );
    }
}
