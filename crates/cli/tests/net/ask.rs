//! `manycast ask`

use std::net::UdpSocket;

use manycast_lab::netns::{Host, Lab, Pick, Process, wait_until};
use serde_json::json;

use crate::{code, hosts_on, json, receive, run, socket, start, start_on_terminal};

fn serve(host: &Host, address: &str) -> Process {
    let mut server = start(host, &["echo", address, "--prefix", "OK..."]);
    server.wait_for_error_line("listening on ");
    server
}

/// A socket that receives questions; the test answers, or does not.
fn silent(host: &Host) -> UdpSocket {
    socket(host, "10.0.0.2:8888")
}

pub(crate) fn row_10_the_dialogue_is_as_it_was() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = serve(&b, ":8888");
    let mut dialogue = start_on_terminal(&a, 80, &["ask", "10.0.0.2:8888"]);
    for (question, answer) in [
        ("hello", "OK...hello"),
        ("", "OK..."),
        ("two words", "OK...two words"),
    ] {
        dialogue.write_line(question);
        let line = dialogue.wait_for_line("reply");
        assert_eq!(
            line,
            format!("Enter message to send : Server reply : {answer}")
        );
    }
    let finished = dialogue.finish();
    assert_eq!(code(&finished), 0);
    assert_eq!(finished.stdout.last().unwrap(), "Enter message to send : ");

    let mut interrupted = start_on_terminal(&a, 80, &["ask", "10.0.0.2:8888"]);
    interrupted.write_line("hello");
    interrupted.wait_for_line("OK...hello");
    interrupted.interrupt();
    let finished = interrupted.finish();
    assert!(
        finished
            .stdout
            .last()
            .unwrap()
            .starts_with("Enter message to send : "),
        "{finished:?}"
    );
    assert_eq!(code(&finished), 0);
}

pub(crate) fn in_a_pipe_there_are_answers_and_no_prompts() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = serve(&b, ":8888");
    let mut dialogue = start(&a, &["ask", "10.0.0.2:8888"]);
    for question in ["hello", "", "two words"] {
        dialogue.write_line(question);
        let line = dialogue.wait_for_line("reply");
        assert_eq!(line, format!("Server reply : OK...{question}"));
    }
    dialogue.interrupt();
    let finished = dialogue.finish();
    assert_eq!(
        (code(&finished), finished.stdout.len()),
        (0, 3),
        "{finished:?}"
    );
}

pub(crate) fn row_10_a_lost_reply_is_told_and_never_hangs() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let server = silent(&b);
    let mut on_terminal = start_on_terminal(&a, 80, &["ask", "10.0.0.2:8888"]);
    on_terminal.write_line("lost");
    receive(&server);
    let line = on_terminal.wait_for_line("no reply");
    assert_eq!(line, "Enter message to send : no reply after 1 s");
    drop(on_terminal);

    let mut dialogue = start(&a, &["ask", "10.0.0.2:8888"]);
    dialogue.write_line("lost");
    receive(&server);
    let line = dialogue.wait_for_error_line("no reply");
    assert_eq!(line, "manycast: no reply after 1 s");
    dialogue.write_line("hello");
    let (question, client) = receive(&server);
    assert_eq!(question, b"hello");
    server.send_to(b"at last", client).unwrap();
    dialogue.wait_for_line("Server reply : at last");
    assert_eq!(code(&dialogue.finish()), 1);
}

pub(crate) fn row_10_what_is_lost_is_asked_again() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = serve(&b, ":8888");
    let lost = a.lose("eth0", Pick::All);
    let mut asking = start(
        &a,
        &[
            "ask",
            "10.0.0.2:8888",
            "hello",
            "--retries",
            "5",
            "-t",
            "100ms",
            "--json",
        ],
    );
    wait_until("an answer that is lost", || lost.count() > 0);
    lost.remove();
    let answer = json(&asking.wait_for_line("\"answer\""));
    assert!(answer["attempt"].as_u64().unwrap() > 1, "{answer}");
    let finished = json(&asking.wait_for_line("\"finished\""));
    assert_eq!(finished["ending"], "enough");
    assert_eq!(finished["questions"], answer["attempt"]);
    assert_eq!(code(&asking.finish()), 0);
}

pub(crate) fn row_10_answers_of_others_do_not_count() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let (server, other_port, other_host) = (
        silent(&b),
        socket(&b, "10.0.0.2:0"),
        socket(&c, "10.0.0.3:8888"),
    );
    let mut asking = start(&a, &["ask", "10.0.0.2:8888", "hello", "-t", "5s", "--json"]);
    let (_, client) = receive(&server);
    for stranger in [&other_port, &other_host] {
        stranger.send_to(b"me!", client).unwrap();
    }
    server.send_to(b"OK...hello", client).unwrap();
    let answer = json(&asking.wait_for_line("\"answer\""));
    assert_eq!(
        (&answer["source"], &answer["text"]),
        (&json!("10.0.0.2:8888"), &json!("OK...hello"))
    );
    let finished = json(&asking.wait_for_line("\"finished\""));
    assert_eq!(
        (&finished["answers"], &finished["strangers"]),
        (&json!(1), &json!(2))
    );

    // Strangers alone are no answer.
    let asking = start(&a, &["ask", "10.0.0.2:8888", "hello", "-t", "1s"]);
    let (_, client) = receive(&server);
    other_host.send_to(b"me!", client).unwrap();
    let finished = asking.finish();
    assert_eq!(code(&finished), 1);
    assert_eq!(
        finished.stderr[..1],
        ["manycast: no reply after 1 s; ignored 1 datagram of others"]
    );
}

pub(crate) fn row_43_all_answers_of_a_group_are_listed() {
    let lab = Lab::new();
    let [a, b, c, d] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c", "d"]);
    for group in ["239.192.0.100%eth0:8888", "[ff15::100%eth0]:8888"] {
        let _servers = [&b, &c, &d].map(|host| serve(host, group));
        let asked = run(&a, &["ask", group, "who is there?", "-t", "2s"]);
        assert_eq!(code(&asked), 0, "{asked:?}");
        let mut responders: Vec<_> = asked
            .stdout
            .iter()
            .map(|line| line.split_once(" answered in ").unwrap())
            .collect();
        responders.sort_unstable();
        let hosts = if group.starts_with('[') {
            ["[fd00::2]:8888", "[fd00::3]:8888", "[fd00::4]:8888"]
        } else {
            ["10.0.0.2:8888", "10.0.0.3:8888", "10.0.0.4:8888"]
        };
        assert_eq!(
            responders.iter().map(|(host, _)| *host).collect::<Vec<_>>(),
            hosts
        );
        for (_, rest) in responders {
            let (round_trip, text) = rest.split_once(": ").unwrap();
            assert_eq!(text, "OK...who is there?");
            assert!(round_trip.ends_with("s"), "{round_trip}");
        }
        assert!(asked.stderr[0].starts_with("3 answers in "), "{asked:?}");
    }
}

pub(crate) fn row_43_enough_answers_end_it() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let _servers = [&b, &c].map(|host| serve(host, "239.1.1.1%eth0:8888"));
    let asked = run(
        &a,
        &[
            "ask",
            "239.1.1.1:8888",
            "x",
            "-t",
            "1h",
            "--answers",
            "2",
            "--json",
        ],
    );
    assert_eq!(asked.stdout.len(), 3);
    assert_eq!(json(&asked.stdout[2])["ending"], "enough");
}

pub(crate) fn row_65_a_refusal_is_told_at_once_and_ends_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for address in ["10.0.0.2:8888", "[fd00::2]:8888"] {
        // Long before the time-out.
        let asked = run(&a, &["ask", address, "x", "-t", "1h"]);
        assert_eq!(code(&asked), 1);
        let problem = format!(
            "manycast: nobody listens on {address}; start the receiver, or check host and port"
        );
        assert_eq!(asked.stderr, [problem]);
    }
    let mut dialogue = start(&a, &["ask", "10.0.0.2:8888", "-t", "1h"]);
    dialogue.write_line("x");
    dialogue.wait_for_error_line("nobody listens on 10.0.0.2:8888");
    let _server = serve(&b, ":8888");
    dialogue.write_line("x");
    dialogue.wait_for_line("Server reply : OK...x");

    let no_way = run(&a, &["ask", "192.0.2.1:8888", "x"]);
    assert_eq!(code(&no_way), 2);
    assert!(
        no_way.stderr[0].contains("no route leads there"),
        "{no_way:?}"
    );
}

pub(crate) fn no_answer_is_exit_1() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = silent(&b);
    let asked = run(&a, &["ask", "10.0.0.2:8888", "x", "-t", "50ms"]);
    let [problem, hint] = asked.stderr.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (code(&asked), problem.as_str()),
        (1, "manycast: no reply after 50 ms")
    );
    assert!(
        hint.contains("On its host, 'manycast doctor 10.0.0.2:8888'"),
        "{hint}"
    );
    let asked = run(
        &a,
        &["ask", "10.0.0.2:8888", "x", "-t", "50ms", "--retries", "1"],
    );
    assert!(asked.stderr[0].ends_with(", asked 2 times"), "{asked:?}");
    let asked = run(&a, &["ask", "239.1.1.1:8888", "x", "-t", "50ms"]);
    assert_eq!(code(&asked), 1);

    let mut asking = start(&a, &["ask", "10.0.0.2:8888", "x", "-t", "1h", "-v"]);
    asking.wait_for_error_line("asking 10.0.0.2:8888 from 10.0.0.1:");
    asking.interrupt();
    assert_eq!(code(&asking.finish()), 1);
}

pub(crate) fn the_objects_tell_how_it_went() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = serve(&b, ":8888");
    let asked = run(&a, &["ask", "10.0.0.2:8888", "hello", "--json"]);
    let [answer, finished] = [0, 1].map(|index| json(&asked.stdout[index]));
    let expected = json!({
        "event": "answer", "bytes": 10, "source": "10.0.0.2:8888", "destination": answer["destination"],
        "interface": "eth0", "hops": 64, "time": answer["time"], "truncated": false, "dropped": 0,
        "text": "OK...hello", "round_trip": answer["round_trip"], "attempt": 1,
    });
    assert_eq!(answer, expected);
    assert!((0.0..1.0).contains(&answer["round_trip"].as_f64().unwrap()));
    let expected = json!({
        "event": "finished", "answers": 1, "questions": 1, "strangers": 0, "duplicates": 0, "ending": "enough",
    });
    assert_eq!(finished, expected);

    // Without a prompt, so that each line is an object.
    let mut dialogue = start(&a, &["ask", "10.0.0.2:8888", "--json"]);
    dialogue.write_line("hello");
    assert_eq!(
        json(&dialogue.wait_for_line("answer"))["text"],
        "OK...hello"
    );
    assert_eq!(code(&dialogue.finish()), 0);
}

pub(crate) fn fewer_answers_than_wanted_are_exit_1() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = serve(&b, "239.1.1.1%eth0:8888");
    let words = [
        "ask",
        "239.1.1.1%eth0:8888",
        "x",
        "-t",
        "100ms",
        "--answers",
        "2",
    ];
    let asked = run(&a, &words);
    assert_eq!(code(&asked), 1, "{asked:?}");
    assert_eq!(asked.stdout.len(), 1, "{asked:?}");
    let problem = "manycast: 1 answer came, 2 expected";
    assert_eq!(asked.stderr.last().unwrap(), problem);
}

/// As `send` does, once the kernel has given up asking for it on the link.
pub(crate) fn a_host_that_is_not_there_is_told() {
    let lab = Lab::new();
    let [a, _b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let why = "the host does not answer on its link";
    for address in ["10.0.0.9:8888", "[fd00::9]:8888"] {
        let asked = run(&a, &["ask", address, "x", "-t", "6s"]);
        assert_eq!(code(&asked), 1, "{asked:?}");
        let [problem] = asked.stderr.as_slice() else {
            panic!("{asked:?}")
        };
        assert!(problem.contains(why), "{problem}");
        // Whoever waits for less is told how long that takes.
        let asked = run(&a, &["ask", address, "x", "-t", "50ms"]);
        assert!(
            asked.stderr[1].contains("'-t 4s' waits long enough"),
            "{asked:?}"
        );
    }
    let asked = run(&a, &["ask", "10.0.0.9:8888", "x", "-t", "6s", "--json"]);
    let told = json(&asked.stdout[0]);
    assert_eq!(
        told,
        json!({"event": "unreachable", "to": "10.0.0.9:8888", "errno": 113})
    );
}

/// On the host that it names, the doctor takes what it is given.
pub(crate) fn what_is_suggested_can_be_run() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = silent(&b);
    for address in ["10.0.0.2:8888", "239.1.1.1:8888", "[fd00::2]:8888"] {
        let asked = run(&a, &["ask", address, "x", "-t", "50ms"]);
        let told = asked.stderr.join("\n");
        let Some((_, suggested)) = told.rsplit_once("'manycast ") else {
            // Nobody listens on it, which is told at once.
            assert!(told.contains("nobody listens"), "{told}");
            continue;
        };
        let suggested = suggested.split('\'').next().unwrap();
        let words: Vec<&str> = suggested.split(' ').chain(["--for", "0.1"]).collect();
        let examined = run(&b, &words);
        assert_ne!(code(&examined), 2, "{suggested}: {examined:?}");
    }
}

/// What this host does not send is told with its cause, and nobody else is suspected.
pub(crate) fn a_question_that_is_not_sent_says_why() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let long = "x".repeat(65_508);
    let told = run(&a, &["ask", "10.0.0.2:8888", &long]);
    assert_eq!(code(&told), 2, "{told:?}");
    let [problem] = told.stderr.as_slice() else {
        panic!("{told:?}")
    };
    let why = "manycast: cannot send to 10.0.0.2:8888: the datagram is longer than UDP allows";
    assert!(problem.starts_with(why), "{problem}");

    let mut dialogue = start(&a, &["ask", "10.0.0.2:8888"]);
    dialogue.write_line(&long);
    let told = dialogue.finish();
    let problem = told.stderr.last().unwrap();
    assert!(
        problem.ends_with("(65507 bytes); ask in fewer"),
        "{problem}"
    );

    a.nft(
        "table inet t {
            chain c {
                type filter hook output priority 0
                udp dport 8888 drop
            }
        }",
    );
    let told = run(&a, &["ask", "10.0.0.2:8888", "hello", "-t", "10ms"]);
    assert_eq!(code(&told), 1, "{told:?}");
    let [problem] = told.stderr.as_slice() else {
        panic!("{told:?}")
    };
    let why = "manycast: cannot send to 10.0.0.2:8888: ";
    assert!(
        problem.starts_with(why) && problem.contains("a firewall"),
        "{problem}"
    );
}
