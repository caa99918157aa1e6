//! NORM with congestion control beside a flow of TCP: the shares of one narrow link.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use manycast_lab::Link;
use manycast_lab::netns::{Hook, Host, Lab, RateLimit, Rule, Wire};
use nix::sys::socket::{setsockopt, sockopt};

use crate::programs::{OURS, found};

/// The title of the table.
pub(crate) const TITLE: &str = "NORM beside TCP";

/// What the link carries, in bits a second.
const RATE: u64 = 100_000_000;

/// How long a burst passes the token bucket at once, in bytes: two frames.
const BURST: u32 = 3028;

/// When the flow of TCP begins, from when everything else is counted.
const ALONE: Duration = Duration::from_secs(5);

/// The time in which the sender gives way.
const FIRST: Duration = Duration::from_secs(4);

/// The link, and what TCP does on it.
struct Case {
    /// As `net.ipv4.tcp_available_congestion_control` names it.
    control: &'static str,
    /// In milliseconds, without the queue.
    round_trip: u64,
    /// In milliseconds of the link's rate.
    queue: u64,
}

const fn case(control: &'static str, round_trip: u64, queue: u64) -> Case {
    Case {
        control,
        round_trip,
        queue,
    }
}

/// A queue of 30 ms, and one of a round trip: the bandwidth-delay product.
const CASES: [Case; 9] = [
    case("cubic", 10, 30),
    case("cubic", 10, 10),
    case("cubic", 50, 30),
    case("cubic", 50, 50),
    case("reno", 10, 30),
    case("reno", 10, 10),
    case("reno", 50, 30),
    case("reno", 50, 50),
    case("bbr", 10, 30),
];

/// What came of NORM and of TCP in some time, in Mbit/s with the headers of IP.
#[derive(Clone, Copy)]
struct Shares {
    norm: f64,
    tcp: f64,
}

/// What a part of the cases is chosen by.
pub(crate) fn titles() -> impl Iterator<Item = String> {
    CASES.iter().map(Case::title)
}

/// The table of the cases whose title is wanted; `steady` is how long the shares are counted after the
/// sender has given way.
pub(crate) fn table(wanted: impl Fn(&str) -> bool, steady: Duration) -> anyhow::Result<String> {
    const TUN: &str = "/dev/net/tun";
    if let Err(error) = File::open(TUN) {
        return Ok(format!(
            "Not measured: a wire with a delay needs {TUN} ({error}), so run it as root.\n\n"
        ));
    }
    if found(OURS).is_err() {
        return Ok("Not measured: `manycast` is not built beside this program.\n\n".to_owned());
    }
    let mut text = format!(
        "A link of {} Mbit/s (`tbf`) that `manycast send-stream --congestion-control` has alone for {} s, \
         with two receivers behind it. Then a flow of the kernel's TCP begins to a host there. Mbit/s \
         that came, of NORM beside TCP, with the headers of IP; the ratio is that of the last \
         {} s.\n\n\
         | TCP | round trip, ms | queue, ms | NORM alone | 1st second | 2nd | 3rd and 4th | the {} s after | ratio |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        RATE / 1_000_000,
        ALONE.as_secs(),
        steady.as_secs(),
        steady.as_secs(),
    );
    for case in CASES.iter().filter(|case| wanted(&case.title())) {
        let [alone, parts @ ..] = case.run(steady)?;
        let [.., last] = parts;
        let _ = write!(
            text,
            "| {} | {} | {} | {:.0} |",
            case.control, case.round_trip, case.queue, alone.norm
        );
        for part in parts {
            let _ = write!(text, " {:.0} beside {:.0} |", part.norm, part.tcp);
        }
        let _ = writeln!(text, " {:.2} |", last.norm / last.tcp);
    }
    text.push('\n');
    Ok(text)
}

impl Case {
    fn title(&self) -> String {
        let Self {
            control,
            round_trip,
            queue,
        } = self;
        format!("{TITLE}, {control}, {round_trip} ms and {queue} ms of queue")
    }

    /// The shares in the two seconds before TCP begins, in the first second, the second, the two that
    /// follow, and in the time after.
    fn run(&self, steady: Duration) -> anyhow::Result<[Shares; 5]> {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [norm, tcp] = ["norm", "tcp"].map(|name| lab.host(name));
        let far = lab.host("far");
        norm.connect(&switch, "eth0", &["10.0.0.1/24"]);
        tcp.connect(&switch, "eth0", &["10.0.0.2/24"]);
        // Frames queue one by one, as they do where hosts are machines.
        for host in [&norm, &tcp] {
            host.output("ip link set dev eth0 gso_max_segs 1");
        }
        let wire = Wire::both(Link {
            delay: Duration::from_micros(self.round_trip * 500),
            ..Link::default()
        });
        far.connect_over(&switch, "eth0", &["10.0.0.3/24"], wire);
        let queue = u32::try_from(RATE / 8000 * self.queue)?;
        far.limit_rate(
            "eth0",
            RateLimit {
                rate: RATE,
                burst: BURST,
                queue,
            },
        );
        let counted =
            ["udp", "tcp"].map(|it| far.count_at(Hook::Input, &format!("meta l4proto {it}")));
        let program = found(OURS)?.display().to_string();
        let names = ["one", "two"];
        let [one, two] = names.map(|name| receive(&far, &program, name));
        let _receivers = [one?, two?];
        far.wait_for_udp_port(5014);
        let mut send = norm.command(&program);
        send.args(["send-stream", "239.192.0.8:5014", "--interface", "eth0"]);
        send.args(["--congestion-control", "--rate", "1G"]);
        for name in names {
            send.args(["--receiver", name]);
        }
        let _sender = Running::start(send.stdin(File::open("/dev/zero")?))?;

        let start = Instant::now();
        let until = |after: Duration| {
            thread::sleep((start + after).saturating_duration_since(Instant::now()));
            (Instant::now(), counted.each_ref().map(Rule::bytes))
        };
        let before = until(ALONE - Duration::from_secs(2));
        let begun = until(ALONE);
        let flow = Flow::begin(&tcp, &far, self.control)?;
        let second = Duration::from_secs(1);
        let marks = [
            before,
            begun,
            until(ALONE + second),
            until(ALONE + 2 * second),
            until(ALONE + FIRST),
            until(ALONE + FIRST + steady),
        ];
        flow.end()?;
        let share = |part: usize| {
            let [(from, old), (to, new)] = [&marks[part], &marks[part + 1]];
            let rate = |index: usize| {
                (new[index] - old[index]) as f64 * 8.0 / (*to - *from).as_secs_f64() / 1e6
            };
            Shares {
                norm: rate(0),
                tcp: rate(1),
            }
        };
        Ok([0, 1, 2, 3, 4].map(share))
    }
}

/// A receiver of the stream, on the far host.
fn receive(far: &Host, program: &str, name: &str) -> anyhow::Result<Running> {
    let mut receive = far.command(program);
    receive.args(["receive-stream", "239.192.0.8:5014", "--interface", "eth0"]);
    Running::start(receive.args(["--name", name]).stdin(Stdio::null()))
}

/// A program that says nothing, and is killed on drop.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(silent.spawn()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A flow of TCP that sends as much as it may.
struct Flow {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<io::Result<()>>,
    receiver: JoinHandle<io::Result<()>>,
}

impl Flow {
    fn begin(from: &Host, to: &Host, control: &str) -> anyhow::Result<Self> {
        let listener = to.run(|| TcpListener::bind("10.0.0.3:5015"))?;
        let receiver = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = vec![0; 1 << 16];
            while stream.read(&mut buffer)? > 0 {}
            Ok(())
        });
        let mut stream = from.run(|| TcpStream::connect("10.0.0.3:5015"))?;
        setsockopt(&stream, sockopt::TcpCongestion, &OsString::from(control))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            let bytes = vec![0; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                stream.write_all(&bytes)?;
            }
            Ok(())
        });
        Ok(Self {
            stop,
            sender,
            receiver,
        })
    }

    fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in [self.sender, self.receiver] {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(())
    }
}
