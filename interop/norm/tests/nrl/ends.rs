//! Two hosts, and how an end of a session is run on them.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use manycast_interop_norm::{Came, Failure, Sent, receive, send, send_stream};
use manycast_io::Socket;
use manycast_lab::netns::{self, Hook, Host, Lab, Pick, Process, Rule, Task};
use manycast_proto::norm::{Content, Object, ReceiverConfig, SenderConfig};

/// The group and the port of all sessions.
pub(crate) const GROUP: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(239, 5, 5, 5)), 6003);

/// The node of ours, and of NRL's.
pub(crate) const OURS: u32 = 1;
pub(crate) const NRL: u32 = 2;

/// Two hosts on a switch, one for each implementation.
pub(crate) struct Network {
    pub(crate) ours: Host,
    pub(crate) nrl: Host,
    /// The program of NRL's library.
    program: PathBuf,
    folder: Folder,
}

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Network {
    pub(crate) fn new() -> Self {
        let program = built("nrl", "/usr/include/normApi.h", "-lnorm");
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let (ours, nrl) = (lab.host("ours"), lab.host("nrl"));
        ours.connect(&switch, "eth0", &["10.0.0.1/24"]);
        nrl.connect(&switch, "eth0", &["10.0.0.2/24"]);
        // The library sends to groups by the route.
        nrl.add_route("224.0.0.0/4 dev eth0");
        let folder = std::env::temp_dir().join(format!("interop-norm-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self {
            ours,
            nrl,
            program,
            folder: Folder(folder),
        }
    }

    /// The path of a file that is gone at the end.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Loses so many in a hundred of the datagrams that come to each of the two.
    pub(crate) fn lose(&self, percent: u8) -> [Rule; 2] {
        [&self.ours, &self.nrl].map(|host| host.lose("eth0", Pick::Percent(percent)))
    }

    /// The same, of NORM_DATA alone: no parity brings the information back that goes ahead.
    pub(crate) fn lose_data(&self, percent: u8) -> [Rule; 2] {
        // The first byte is the version and the type of the message.
        let matching = format!("udp dport 6003 @th,64,8 0x12 {}", Pick::Percent(percent));
        [&self.ours, &self.nrl].map(|host| host.drop_at(Hook::Input, &matching))
    }

    /// Starts an end of NRL's; `words` say how, see `nrl.cc`. It is killed on drop.
    pub(crate) fn start(&self, role: &str, words: &[&str]) -> Process {
        let mut command = self.nrl.command(&self.program.display().to_string());
        command.args([
            role,
            &format!("node={NRL}"),
            &format!("port={}", GROUP.port()),
        ]);
        Process::start(command.args(words))
    }

    /// Starts a receiver of NRL's, and waits until it can receive.
    pub(crate) fn start_receiver(&self, file: &Path, words: &[&str]) -> Process {
        let file = format!("file={}", file.display());
        let words = [&[file.as_str()], words].concat();
        let mut receiver = self.start("receive", &words);
        receiver.wait_for_line("ready");
        receiver
    }

    /// Sends an object by ours, to a group by the one interface that there is.
    pub(crate) fn send(&self, config: SenderConfig, object: Object) -> Sent {
        let sent = self
            .ours
            .run(|| send(socket(config.destination)?, config, object));
        sent.unwrap()
    }

    /// Sends messages in a stream by ours.
    pub(crate) fn send_stream(&self, config: SenderConfig, messages: &[&[u8]]) -> Sent {
        let send = || send_stream(socket(config.destination)?, config, messages);
        self.ours.run(send).unwrap()
    }

    /// Starts a receiver of ours.
    pub(crate) fn receive(&self, config: ReceiverConfig) -> Receiving {
        let socket = self.ours.run(|| socket(config.group)).unwrap();
        let enough = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(AtomicUsize::new(0));
        let shared = (Arc::clone(&enough), Arc::clone(&bytes));
        let task = self.ours.spawn(move || {
            let (enough, bytes) = shared;
            receive(socket, config, &enough, &bytes)
        });
        Receiving {
            task,
            enough,
            bytes,
        }
    }
}

/// A receiver of ours that runs.
pub(crate) struct Receiving {
    task: Task<Result<Came, Failure>>,
    enough: Arc<AtomicBool>,
    bytes: Arc<AtomicUsize>,
}

impl Receiving {
    /// Ends it when so many bytes have come, or long before the test would be killed, and gives what
    /// came.
    pub(crate) fn end(self, bytes: usize) -> Came {
        // What came by then tells more than that it was not all.
        let deadline = Instant::now() + netns::patience() / 2;
        netns::wait_until("all bytes", || {
            self.bytes.load(Ordering::Relaxed) >= bytes || Instant::now() >= deadline
        });
        self.enough.store(true, Ordering::Relaxed);
        self.task.join().unwrap()
    }
}

fn socket(at: SocketAddr) -> Result<Socket, Failure> {
    let mut socket = Socket::bind(format!("0.0.0.0:{}", at.port()))?;
    if at.ip().is_multicast() {
        socket.join(at.ip())?;
    }
    Ok(socket)
}

/// How ours sends here: fast enough for tests, with NRL's receiver to acknowledge. It is
/// patient, so that a receiver that a busy machine keeps waiting for some seconds is not given up.
pub(crate) fn sender() -> SenderConfig {
    SenderConfig {
        rate: 50_000_000,
        grtt: Duration::from_millis(100),
        group_size: 10,
        robust: 200,
        receivers: vec![NRL],
        ..SenderConfig::new(GROUP, OURS)
    }
}

/// How ours receives here.
pub(crate) fn receiver() -> ReceiverConfig {
    ReceiverConfig::new(GROUP, OURS)
}

/// Bytes that are no text, and that no shift makes equal to themselves.
pub(crate) fn content(length: usize) -> Vec<u8> {
    std::iter::successors(Some(1_u64), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
    })
    .map(|it| it.to_be_bytes()[0])
    .take(length)
    .collect()
}

pub(crate) fn object(bytes: &[u8]) -> Object {
    Object {
        content: Content::Memory(bytes.to_vec().into()),
        file: false,
        info: Some("made of bytes".into()),
    }
}

/// A program in C++ with a library of others; it is built where it is older than its text.
pub(crate) fn built(name: &str, header: &str, library: &str) -> PathBuf {
    netns::require(&["c++", header]);
    let text = &Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/nrl/{name}.cc"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let time = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    // Tests that run side by side want it at once: the first builds it, and the others wait for it.
    let lock = fs::File::create(program.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if time(&program) > time(text) {
        return program;
    }
    let made = program.with_extension("made");
    let output = Command::new("c++")
        .args(["-std=c++17", "-O1", "-o"])
        .args([made.as_path(), text])
        .arg(library)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&made, &program).unwrap();
    program
}
