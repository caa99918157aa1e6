//! The server of tftp-hpa, on loopback: it gives up its groups, which only root may do, and not in a
//! user namespace. `cargo xtask interop` runs this.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command};

use manycast_lab::netns;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root and in.tftpd: cargo xtask interop"]
fn tftp_hpa_serves_us() {
    let folder = std::env::temp_dir().join(format!("tftp-hpa-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let server = Command::new("in.tftpd")
        .args([
            "--foreground",
            "--listen",
            "--user",
            "root",
            "--create",
            "--permissive",
        ])
        .args(["--address", &address.to_string()])
        .arg(&folder)
        .spawn();
    let mut server =
        Server(server.expect("in.tftpd is installed, or unpacked by cargo xtask interop"));
    // To bind the address, so as to see whether it is taken, would take it from the server.
    let local = format!("0100007F:{:04X}", address.port());
    netns::wait_until("in.tftpd to listen", || {
        let ended = server.0.try_wait().unwrap();
        assert!(ended.is_none(), "in.tftpd ended: {ended:?}");
        let table = fs::read_to_string("/proc/net/udp").unwrap();
        let mut sockets = table.lines().filter_map(|it| it.split_whitespace().nth(1));
        sockets.any(|socket| socket == local)
    });
    let bytes: Vec<u8> = (0..=250).cycle().take(1_000_001).collect();
    fs::write(folder.join("file"), &bytes).unwrap();
    let back = folder.join("back");
    let there = |name: &str| format!("{address}/{}", folder.join(name).display());
    let manycast = |arguments: &[&str], options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_manycast"));
        let output = command.arg("tftp").args(arguments).args(options).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for options in [
        &[][..],
        &["--block-size", "1428"],
        &["--block-size", "512", "--window", "1"],
    ] {
        manycast(&["get", &there("file"), back.to_str().unwrap()], options);
        assert!(fs::read(&back).unwrap() == bytes);
        manycast(&["put", back.to_str().unwrap(), &there("new")], options);
        assert!(fs::read(folder.join("new")).unwrap() == bytes);
    }
    fs::remove_dir_all(&folder).unwrap();
}
