//! What was meant by a command or an option that there is not: the words of other programs, and slips
//! of the fingers.

/// Words that others have for a command, and what they are here.
const COMMANDS: [(&[&str], &str); 18] = [
    (
        &[
            "recv",
            "receive",
            "rx",
            "subscribe",
            "join",
            "sniff",
            "dump",
            "tcpdump",
            "watch",
            "read",
        ],
        "listen",
    ),
    (
        &[
            "tx",
            "publish",
            "write",
            "transmit",
            "broadcast",
            "multicast",
            "emit",
            "say",
        ],
        "send",
    ),
    (&["server", "serve", "reply", "answer", "respond"], "echo"),
    (&["client", "query", "request", "call", "ping"], "ask"),
    (
        &[
            "interface",
            "iface",
            "ifaces",
            "if",
            "ip",
            "nic",
            "nics",
            "groups",
            "links",
            "list",
        ],
        "interfaces",
    ),
    (
        &[
            "iperf",
            "iperf2",
            "iperf3",
            "bench",
            "benchmark",
            "perf",
            "test",
        ],
        "measure",
    ),
    (
        &["check", "diagnose", "debug", "why", "examine", "fix"],
        "doctor",
    ),
    (&["tftpd", "atftp"], "tftp"),
    (
        &[
            "sendfile",
            "sendfiles",
            "send-file",
            "uftp",
            "udp-sender",
            "udpcast",
            "upload",
        ],
        "send-files",
    ),
    (
        &[
            "recvfile",
            "receive-file",
            "receivefiles",
            "recv-files",
            "uftpd",
            "udp-receiver",
            "download",
        ],
        "receive-files",
    ),
    (&["example", "examples", "try"], "demo"),
    (&["completion", "complete"], "completions"),
    (&["manual", "docs", "doc"], "man"),
    // Of `measure` and `tftp`.
    (&["recv", "rx", "server", "-s"], "receive"),
    (&["tx", "client", "-c"], "send"),
    (&["download", "fetch"], "get"),
    (&["upload"], "put"),
    (&["server", "listen"], "serve"),
];

/// Words that others have for an option, and what they are here.
const OPTIONS: [(&[&str], &str); 10] = [
    (
        &["--ttl", "--hop-limit", "--hop", "--multicast-ttl"],
        "--hops",
    ),
    (
        &["--iface", "--if", "--dev", "--device", "--nic", "--ifname"],
        "--interface",
    ),
    (
        &["--number", "--num", "-n", "--repeat", "--packets"],
        "--count",
    ),
    (
        &["--wait", "-w", "--time", "--seconds", "--deadline"],
        "--timeout",
    ),
    (&["--time", "-t", "--seconds", "--timeout"], "--duration"),
    (&["--timeout", "-t", "--time", "--duration"], "--for"),
    (
        &["--bind", "--local", "--source-address", "-s", "--src"],
        "--from",
    ),
    (&["--bandwidth", "-b", "--bitrate", "--speed"], "--rate"),
    (&["--delay", "--every", "--sleep"], "--interval"),
    (&["-x", "--hexdump", "--dump"], "--hex"),
];

/// Options that others have for what is a part of the address here.
const IN_THE_ADDRESS: [(&[&str], &str); 3] = [
    (&["--port", "-p"], "HOST:PORT"),
    (
        &[
            "--group",
            "-g",
            "--to",
            "--host",
            "--address",
            "--addr",
            "-a",
            "--multicast",
            "--mcast",
        ],
        "GROUP:PORT",
    ),
    (&["--source", "-s", "--ssm", "--src"], "SOURCE@GROUP:PORT"),
];

/// The commands among `there` that were probably meant.
pub(super) fn command(typed: &str, there: &[String]) -> Option<String> {
    one_of(&COMMANDS, typed, there).or_else(|| closest(typed, there))
}

/// The option among `there`, with its dashes, that was probably meant.
pub(super) fn option(typed: &str, there: &[String]) -> Option<String> {
    let typed = typed.split('=').next().unwrap_or_default();
    // `-count` is `--count`.
    let long = format!("-{typed}");
    if there.contains(&long) {
        return Some(long);
    }
    one_of(&OPTIONS, typed, there).or_else(|| closest(typed, there))
}

/// The part of an address that was written as an option.
pub(super) fn part_of_the_address(typed: &str) -> Option<&'static str> {
    let typed = typed.split('=').next().unwrap_or_default();
    let found = IN_THE_ADDRESS
        .iter()
        .find(|(words, _)| words.contains(&typed));
    found.map(|(_, form)| *form)
}

fn one_of(table: &[(&[&str], &str)], typed: &str, there: &[String]) -> Option<String> {
    let fits = |(words, meant): &&(&[&str], &str)| {
        words.contains(&typed) && there.iter().any(|there| there == meant)
    };
    table
        .iter()
        .find(fits)
        .map(|(_, meant)| (*meant).to_owned())
}

/// How alike two words must be, from 0 to 1; that of clap, which is a little bolder.
const ALIKE: f64 = 0.75;

/// The word among `there` that is most like what was typed, if any is.
pub(crate) fn closest(typed: &str, there: &[String]) -> Option<String> {
    // A single letter is like every short word, and what is long is no slip.
    if typed.trim_start_matches('-').len() < 2 || typed.len() > 40 {
        return None;
    }
    let likeness = |word: &&String| strsim::jaro(typed, word);
    let best = there
        .iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    if likeness(&best) >= ALIKE {
        return Some(best.clone());
    }
    // Two letters of a short word that stand the wrong way round, as in gte.
    let slip = there
        .iter()
        .find(|word| strsim::osa_distance(typed, word) == 1);
    slip.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn words_of_others_and_slips_are_understood() {
        let commands = there(&[
            "send",
            "listen",
            "echo",
            "ask",
            "interfaces",
            "doctor",
            "man",
            "send-files",
            "receive-files",
            "send-stream",
            "receive-stream",
        ]);
        for (typed, meant) in [
            ("recv", Some("listen")),
            ("receive", Some("listen")),
            ("join", Some("listen")),
            ("publish", Some("send")),
            ("sedn", Some("send")),
            ("ifaces", Some("interfaces")),
            ("docter", Some("doctor")),
            ("akc", None),
            ("aks", Some("ask")),
            ("uftpd", Some("receive-files")),
            ("send-file", Some("send-files")),
            ("recv-stream", Some("receive-stream")),
            ("download", Some("receive-files")),
            ("frobnicate", None),
            ("239.1.1.1:5000", None),
            ("", None),
        ] {
            assert_eq!(command(typed, &commands).as_deref(), meant, "{typed}");
        }
        let of_measure = there(&["send", "receive"]);
        assert_eq!(command("recv", &of_measure).as_deref(), Some("receive"));
        assert_eq!(command("client", &of_measure).as_deref(), Some("send"));
        let of_tftp = there(&["get", "put", "serve"]);
        assert_eq!(command("download", &of_tftp).as_deref(), Some("get"));
        assert_eq!(command("upload", &of_tftp).as_deref(), Some("put"));
        let options = there(&["--hops", "--count", "--interface", "--timeout"]);
        for (typed, meant) in [
            ("--ttl", Some("--hops")),
            ("--ttl=4", Some("--hops")),
            ("-count", Some("--count")),
            ("--cuont", Some("--count")),
            ("--iface", Some("--interface")),
            ("-w", Some("--timeout")),
            ("--zzz", None),
            ("-z", None),
        ] {
            assert_eq!(option(typed, &options).as_deref(), meant, "{typed}");
        }
        // Only what there is.
        assert_eq!(option("--ttl", &there(&["--count"])), None);
        assert_eq!(part_of_the_address("--port"), Some("HOST:PORT"));
    }
}
