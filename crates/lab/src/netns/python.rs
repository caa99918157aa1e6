//! Programs in Python on a host, for what no safe Rust offers: sockets with faults of their own,
//! queries of IGMP and MLD, forged frames.

use std::process::Command;

use super::{Host, Process, require, skip};

/// A program in Python on a host, of an ordinary user, which says `ready` when it is.
#[track_caller]
pub fn program(host: &Host, script: &str) -> Process {
    require(&["python3", "setpriv"]);
    let mut command = host.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "python3"]);
    start(command, script)
}

/// A program that may open raw sockets.
#[track_caller]
pub fn privileged_program(host: &Host, script: &str) -> Process {
    require(&["python3"]);
    start(host.command("python3"), script)
}

#[track_caller]
fn start(mut command: Command, script: &str) -> Process {
    let script = format!("{PRELUDE}\n{script}\nprint('ready', flush=True)\ninput()\n");
    let mut process = Process::start(command.args(["-u", "-c", &script]));
    process.wait_for_line("ready");
    process
}

/// A program with the library GSSDP, whose client `c` stands at an address and speaks a version of the
/// UPnP Device Architecture, `1_0` or `1_1`. It says `ready` when it is; where the library is not there, the
/// test is skipped.
#[track_caller]
pub fn gssdp(host: &Host, address: &str, version: &str, script: &str) -> Process {
    const USED: &str = "import gi\n\
        gi.require_version('GSSDP', '1.6')\n\
        from gi.repository import Gio, GLib, GSSDP\n";
    // The interpreter that Debian's packages are for, which need not be the first.
    let python = "/usr/bin/python3";
    require(&[python]);
    let mut check = host.command(python);
    let output = check.args(["-c", USED]).output();
    if !output.is_ok_and(|output| output.status.success()) {
        skip("the library GSSDP is not there; cargo xtask interop brings it");
    }
    let script = format!(
        "{USED}\
         address = Gio.InetAddress.new_from_string('{address}')\n\
         c = GSSDP.Client.new_for_address(address, 0, GSSDP.UDAVersion.VERSION_{version})\n\
         {script}\
         print('ready', flush=True)\n\
         GLib.MainLoop().run()\n"
    );
    let mut process = Process::start(host.command(python).args(["-u", "-c", &script]));
    process.wait_for_line("ready");
    process
}

/// What all programs have at hand.
const PRELUDE: &str = "
import socket, struct, time
def udp(bind, v6=False, share=True):
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    if share: s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host, _, zone = bind.partition('%')
    s.bind((host, 5000, 0, socket.if_nametoindex(zone)) if zone else (host, 5000))
    return s
def join(s, group, device, source=None):
    index = socket.if_nametoindex(device)
    if source:
        def storage(a):
            v6 = ':' in a
            ip = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, a)
            return (struct.pack('@HHI16sI', 10, 0, 0, ip, 0) if v6 else struct.pack('@HH4s', 2, 0, ip)).ljust(128, bytes(1))
        s.setsockopt(41 if ':' in group else 0, 46, struct.pack('@Q', index) + storage(group) + storage(source))
    elif ':' in group:
        s.setsockopt(41, 20, socket.inet_pton(socket.AF_INET6, group) + struct.pack('@I', index))
    else:
        s.setsockopt(0, 35, struct.pack('@4s4si', socket.inet_aton(group), bytes(4), index))
";

/// One general query of MLDv2 (RFC 3810 §5.1), to be answered within a tenth of a second.
pub const QUERY_6: &str = "
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
s.setsockopt(41, 17, struct.pack('@I', socket.if_nametoindex('eth0')))
s.setsockopt(41, 18, 1)
s.setsockopt(41, 54, bytes([0, 0, 5, 2, 0, 0, 1, 0]))
q = struct.pack('!BBHHH16sBBH', 130, 0, 0, 100, 0, bytes(16), 2, 125, 0)
s.sendto(q, ('ff02::1', 0, 0, socket.if_nametoindex('eth0')))
";

/// One general query of IGMPv3 (RFC 9776 §4.1), to be answered within a tenth of a second.
pub const QUERY: &str = "
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 2)
s.setsockopt(0, 32, struct.pack('@4s4si', bytes(4), bytes(4), socket.if_nametoindex('eth0')))
s.setsockopt(0, 4, bytes([0x94, 4, 0, 0]))
q = struct.pack('!BBH4sBBH', 0x11, 1, 0, bytes(4), 2, 125, 0)
c = 0xffff - (sum(struct.unpack('!6H', q)) % 0xffff)
s.sendto(q[:2] + struct.pack('!H', c) + q[4:], ('224.0.0.1', 0))
";

/// Sends UDP datagrams as no socket would, every five milliseconds: the source, the checksum and the
/// port are what `forge` is told (`None`: the checksum that is right), and so are the VLAN tag and the hardware address of its frames.
pub const FORGED: &str = "
import threading
def forge(source, group, checksum, port=5000, vlan=None, to=None):
    v6 = ':' in group
    ip = lambda a: socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, a)
    data = struct.pack('!HHH', 4000, port, 12)
    if checksum is None:
        s = ip(source) + ip(group) + struct.pack('!II', 12, 17) + data + b'abcd'
        checksum = 0xffff - sum(struct.unpack(f'!{len(s) // 2}H', s)) % 0xffff
    udp = data + struct.pack('!H', checksum) + b'abcd'
    if v6:
        head = struct.pack('!IHBB', 6 << 28, len(udp), 17, 1) + ip(source) + ip(group)
        ethernet = bytes([0x33, 0x33]) + ip(group)[12:] + bytes(5) + bytes([1, 0x86, 0xdd])
    else:
        head = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0) + ip(source) + ip(group)
        s = sum(struct.unpack('!10H', head))
        s = (s >> 16) + (s & 0xffff)
        head = head[:10] + struct.pack('!H', 0xffff & ~(s + (s >> 16))) + head[12:]
        ethernet = bytes([1, 0, 0x5e, ip(group)[1] & 0x7f]) + ip(group)[2:] + bytes(5) + bytes([1, 8, 0])
    if to: ethernet = to + ethernet[6:]
    if vlan is not None: ethernet = ethernet[:12] + struct.pack('!HH', 0x8100, vlan) + ethernet[12:]
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind(('eth0', 0))
    def send():
        while not threading.Event().wait(.005): wire.send(ethernet + head + udp)
    threading.Thread(target=send, daemon=True).start()
";

/// Sends a broadcast every ten milliseconds to a port that nobody has, as there are on most links.
pub const BROADCASTS: &str = "
import threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
def send():
    while not threading.Event().wait(.01): s.sendto(b'x', ('255.255.255.255', 57621))
threading.Thread(target=send, daemon=True).start()
";
