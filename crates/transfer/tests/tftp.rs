//! Files by TFTP over loopback, and a folder that nothing leaves.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, mpsc};

use manycast::proto::tftp::{ErrorCode, Failure, Mode, ServerConfig};
use manycast::transfer::tftp::{
    self, Error, Location, Options, Record, Server, ServerOptions, Transfer,
};

/// A server for `folder/root`, and where it is reached.
struct Site {
    folder: tempfile::TempDir,
    port: u16,
    stopper: manycast::Stopper,
    ended: mpsc::Receiver<Record>,
}

impl Site {
    fn new(options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let root = folder.path().join("root");
        let mut server = Server::open(root, &[address], options).unwrap();
        let port = server.local_addrs()[0].port();
        let stopper = server.stopper().unwrap();
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let on_event = |event| {
                if let tftp::Event::Ended(record) = event {
                    let _ = sender.send(record);
                }
            };
            server.run(on_event).unwrap();
        });
        Self {
            folder,
            port,
            stopper,
            ended,
        }
    }

    fn writable(overwrite: bool) -> Self {
        let mut options = ServerOptions::default();
        options.write = true;
        options.overwrite = overwrite;
        Self::new(options)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn location(&self, name: &str) -> Location {
        format!("127.0.0.1:{}/{name}", self.port).parse().unwrap()
    }

    /// So many records of transfers, once they have ended.
    fn records(&self, count: usize) -> Vec<Record> {
        self.ended.iter().take(count).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

fn bytes(length: usize) -> Vec<u8> {
    std::iter::successors(Some(1_u64), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

fn refused(result: Result<tftp::Report, Error>) -> ErrorCode {
    match result {
        Err(Error::Transfer {
            failure: Failure::Refused(refusal),
            ..
        }) => refusal.code,
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_of_every_size_go_over_and_come_back() {
    for single_port in [false, true] {
        let mut options = ServerOptions::default();
        options.write = true;
        options.protocol.single_port = single_port;
        let site = Site::new(options);
        for (length, block_size) in [
            (0, None),
            (1, None),
            (512, Some(512)),
            (100_000, Some(1428)),
            (65_464 * 3, None),
            (20_000_000, None),
            (3_000_000, Some(1428)),
        ] {
            let content = bytes(length);
            let (here, back) = (site.path("here"), site.path("back"));
            fs::write(&here, &content).unwrap();
            let mut options = Options::default();
            options.block_size = block_size;
            let name = format!("{length}-{block_size:?}");
            let report = tftp::put(&here, &site.location(&name), &options).unwrap();
            assert_eq!(report.bytes, length as u64);
            let report = tftp::get(&site.location(&name), &back, &options).unwrap();
            assert_eq!(report.bytes, length as u64);
            assert!(fs::read(&back).unwrap() == content, "{name}");
        }
        let root = site.path("root");
        assert_eq!(
            names(&root).len(),
            7,
            "no temporary file is left: {:?}",
            names(&root)
        );
        let records = site.records(14);
        assert!(
            records.iter().all(|record| record.result.is_ok()),
            "{records:?}"
        );
    }
}

#[test]
fn text_is_turned_into_netascii_and_back() {
    let site = Site::writable(false);
    let text = "one\ntwo\r\n\nthree\r".repeat(1_000);
    fs::write(site.path("here"), &text).unwrap();
    let mut options = Options::default();
    options.mode = Mode::Netascii;
    tftp::put(site.path("here"), &site.location("text"), &options).unwrap();
    assert_eq!(fs::read_to_string(site.path("root/text")).unwrap(), text);
    tftp::get(&site.location("text"), site.path("back"), &options).unwrap();
    assert_eq!(fs::read_to_string(site.path("back")).unwrap(), text);
    // As it is on the wire.
    let plain = Options::default();
    tftp::get(&site.location("text"), site.path("back"), &plain).unwrap();
    assert_eq!(fs::read_to_string(site.path("back")).unwrap(), text);
}

#[test]
fn nothing_leaves_the_folder() {
    let site = Site::writable(true);
    fs::write(site.path("secret"), "secret").unwrap();
    fs::write(site.path("root/inside"), "inside").unwrap();
    fs::create_dir(site.path("root/sub")).unwrap();
    symlink(site.path("secret"), site.path("root/absolute")).unwrap();
    symlink("../secret", site.path("root/relative")).unwrap();
    symlink("..", site.path("root/up")).unwrap();
    symlink("inside", site.path("root/fine")).unwrap();
    let secret = site.path("secret").display().to_string();
    let back = site.path("back");
    let options = Options::default();
    for name in [
        "../secret",
        "sub/../../secret",
        "absolute",
        "relative",
        "up/secret",
        "sub",
        "/../secret",
        &secret,
    ] {
        let got = tftp::get(&site.location(name), &back, &options);
        let code = refused(got);
        assert!(
            [ErrorCode::AccessViolation, ErrorCode::FileNotFound].contains(&code),
            "{name}: {code:?}"
        );
        assert!(!back.exists());
        if name != "absolute" && name != "relative" {
            refused(tftp::put(
                site.path("secret"),
                &site.location(name),
                &options,
            ));
        }
    }
    assert_eq!(fs::read(site.path("secret")).unwrap(), b"secret");
    for name in ["inside", "/inside", "fine", "sub/../inside"] {
        tftp::get(&site.location(name), &back, &options).unwrap();
        assert_eq!(fs::read(&back).unwrap(), b"inside");
    }
    // A link is replaced, and what it leads to is not touched.
    fs::write(site.path("new"), "new").unwrap();
    let put = tftp::put(site.path("new"), &site.location("absolute"), &options);
    assert_eq!(refused(put), ErrorCode::AccessViolation);
    assert_eq!(fs::read(site.path("secret")).unwrap(), b"secret");
}

#[test]
fn a_server_is_for_reading_unless_it_is_told_otherwise() {
    let site = Site::new(ServerOptions::default());
    fs::write(site.path("here"), "new").unwrap();
    let put = |site: &Site| {
        let to = site.location("there");
        tftp::put(site.path("here"), &to, &Options::default())
    };
    assert_eq!(refused(put(&site)), ErrorCode::AccessViolation);
    assert!(names(&site.path("root")).is_empty());

    let site = Site::writable(false);
    fs::write(site.path("here"), "new").unwrap();
    put(&site).unwrap();
    assert_eq!(refused(put(&site)), ErrorCode::FileExists);

    let site = Site::writable(true);
    fs::write(site.path("here"), "new").unwrap();
    put(&site).unwrap();
    put(&site).unwrap();
    assert_eq!(names(&site.path("root")), ["there"]);
}

#[test]
fn a_file_that_is_too_large_is_refused_and_leaves_nothing() {
    let mut options = ServerOptions::default();
    options.write = true;
    options.max_size = Some(1_000_000);
    let site = Site::new(options);
    fs::write(site.path("here"), bytes(2_000_000)).unwrap();
    let to = site.location("there");
    let put = tftp::put(site.path("here"), &to, &Options::default());
    assert_eq!(refused(put), ErrorCode::DiskFull);
    // One that does not tell how long it is.
    let stream = fs::File::open(site.path("here")).unwrap();
    let put = Transfer::put_from(stream, &to, &Options::default()).unwrap();
    assert_eq!(refused(put.run(|_| {})), ErrorCode::DiskFull);
    site.records(2);
    assert!(names(&site.path("root")).is_empty());
}

#[test]
fn what_is_stopped_leaves_no_file() {
    let site = Site::writable(false);
    fs::write(site.path("root/large"), bytes(20_000_000)).unwrap();
    let target = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.block_size = Some(512);
    options.window = Some(1);
    let path = target.path().join("large");
    let mut get = Transfer::get(&site.location("large"), &path, &options).unwrap();
    let stopper = get.stopper().unwrap();
    let result = get.run(|progress| {
        assert_eq!(progress.total, Some(20_000_000));
        stopper.stop();
    });
    assert!(matches!(result, Err(Error::Stopped)), "{result:?}");
    assert!(
        names(target.path()).is_empty(),
        "{:?}",
        names(target.path())
    );

    let put = site.path("root/large");
    let mut put = Transfer::put(put, &site.location("copy"), &options).unwrap();
    let stopper = put.stopper().unwrap();
    assert!(put.run(|_| stopper.stop()).is_err());
    // The server hears of it by an error packet, and one of its threads lets go of the file.
    while names(&site.path("root")).len() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(names(&site.path("root")), ["large"]);
}

#[test]
fn who_is_not_there_is_named_with_what_to_do() {
    let free = manycast::Socket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let from: Location = format!("127.0.0.1:{port}/boot.bin").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = tftp::get(&from, folder.path().join("x"), &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot get boot.bin from 127.0.0.1:{port}: nobody listens on 127.0.0.1:{port}; start a \
             server there, or name its port: HOST:PORT/FILE"
        )
    );
    let error = tftp::get(&from, "/nowhere/x", &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write /nowhere/x: No such file or directory (os error 2); see whether the folder is \
         there"
    );
}

/// Compares what is written with what ought to come. The first bytes wait until all the others have
/// theirs.
struct Checked {
    expected: Arc<Vec<u8>>,
    at: usize,
    together: Arc<Barrier>,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at == 0 {
            self.together.wait();
        }
        let expected = &self.expected[self.at..][..bytes.len()];
        assert!(expected == bytes, "other bytes at {}", self.at);
        self.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        assert_eq!(self.at, self.expected.len());
        Ok(())
    }
}

/// 1,000 transfers at once in one server, each with a socket of its own: none goes on before all have
/// begun, and the file is longer than what a client takes in advance.
#[test]
fn a_thousand_at_once() {
    const COUNT: usize = 1_000;
    let mut options = ServerOptions::default();
    options.protocol = ServerConfig {
        per_address: COUNT,
        ..ServerConfig::default()
    };
    let site = Site::new(options);
    let content = Arc::new(bytes(400_000));
    fs::write(site.path("root/file"), &*content).unwrap();
    let from = site.location("file");
    let mut options = Options::default();
    options.block_size = Some(1428);
    options.window = Some(8);
    let together = Arc::new(Barrier::new(COUNT));
    std::thread::scope(|scope| {
        for _ in 0..COUNT {
            let into = Checked {
                expected: Arc::clone(&content),
                at: 0,
                together: Arc::clone(&together),
            };
            let (from, options) = (&from, &options);
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn_scoped(scope, move || {
                    let get = Transfer::get_to(from, into, options).unwrap();
                    assert_eq!(get.run(|_| {}).unwrap().bytes, 400_000);
                })
                .unwrap();
        }
    });
    // All have their bytes. What the server has not heard the end of by now, since an acknowledgement was lost,
    // it may never hear.
    let done = site.ended.try_iter().filter(|record| match &record.result {
        Ok(()) => true,
        // On a busy machine a client asks again before it is answered; what the server makes of
        // that is ended by the client (RFC 1350 §4), or by its host where the client has ended.
        Err(error) => {
            let of_client = error.contains("(error 5)") || error.contains("nobody listens");
            assert!(of_client, "{error}");
            false
        }
    });
    assert!(done.count() > 0);
}

/// Gives what it has, and then waits until it is let go on.
struct Slow {
    at_once: usize,
    go_on: mpsc::Receiver<()>,
}

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at_once == 0 {
            let _ = self.go_on.recv();
            return Ok(0);
        }
        let count = into.len().min(self.at_once);
        into[..count].fill(7);
        self.at_once -= count;
        Ok(count)
    }
}

/// A pipe that gives nothing for long holds up neither what is sent again nor a stop.
#[test]
fn a_slow_stream_does_not_hold_up_the_transfer() {
    // A server that knows no options, and that does not acknowledge.
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = std::time::Duration::from_secs(60);
    server.set_read_timeout(Some(patience)).unwrap();
    let port = server.local_addr().unwrap().port();
    let (hold, go_on) = mpsc::channel();
    let slow = Slow {
        at_once: 64 << 10,
        go_on,
    };
    let to: Location = format!("127.0.0.1:{port}/file").parse().unwrap();
    let mut put = Transfer::put_from(slow, &to, &Options::default()).unwrap();
    let stopper = put.stopper().unwrap();
    let running = std::thread::spawn(move || put.run(|_| {}));
    let mut packet = [0; 2_000];
    let mut next = || {
        let (length, from) = server.recv_from(&mut packet).unwrap();
        (packet[..length].to_vec(), from)
    };
    let (request, client) = next();
    assert!(request.starts_with(b"\0\x02file\0octet\0"));
    server.send_to(b"\0\x04\0\0", client).unwrap();
    let first = next();
    assert!(first.0.starts_with(b"\0\x03\0\x01") && first.0.len() == 516);
    assert_eq!(
        next(),
        first,
        "it is sent again while the pipe is waited for"
    );
    stopper.stop();
    assert!(matches!(running.join().unwrap(), Err(Error::Stopped)));
    drop(hold);
}
