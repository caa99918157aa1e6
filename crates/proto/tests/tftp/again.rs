//! Clients that ask again: after the server has refused their options, or has forgotten them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use manycast_lab::sim::{Link, Sim};
use manycast_proto::tftp::{
    ClientConfig, ErrorCode, Failure, Message, Options, PORT, Refusal, ServerConfig,
};
use manycast_proto::{Output, Protocol};
use manycast_types::{Received, Transmit};

use super::hostile::request;
use super::site::{Ending, File, Transfer};
use super::{Net, SECOND};

/// How long the file is of a server that refuses.
const LENGTH: u64 = 100;

/// A server that refuses requests: those with options, or all.
struct Refuses {
    code: ErrorCode,
    all: bool,
    requests: usize,
    answers: VecDeque<Transmit>,
}

impl Protocol for Refuses {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        let Ok(Message::Request(request)) = Message::parse(datagram.payload) else {
            return;
        };
        self.requests += 1;
        let file = File::new(LENGTH).at(0, 512);
        let answer = if self.all || !request.options.is_empty() {
            Message::Error(Refusal::new(self.code, "no"))
        } else {
            Message::Data {
                block: 1,
                payload: &file,
            }
        };
        self.answers.push_back(datagram.reply().with(answer.emit()));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        let wait = Output::Wait {
            until: None,
            reason: "a request",
        };
        self.answers.pop_front().map_or(wait, Output::Transmit)
    }
}

/// How a file is got from a server that refuses, and how often it is asked.
fn refused(code: ErrorCode, all: bool) -> (Ending, usize) {
    let mut sim = Sim::new(1);
    let (server, client) = (sim.add_host(["10.0.0.1"]), sim.add_host(["10.0.0.2"]));
    let server = sim.bind(
        server,
        PORT,
        Refuses {
            code,
            all,
            requests: 0,
            answers: VecDeque::new(),
        },
    );
    let config = ClientConfig::new(([10, 0, 0, 1], PORT).into(), "file");
    let get = sim.bind(client, 0, Transfer::read(config, LENGTH));
    sim.run_for(SECOND * 60);
    let (_, ending) = sim.events(get).first().expect("it ends");
    (ending.clone(), sim.protocol(server).requests)
}

/// RFC 2347: a server may answer options by an error. Old ones have no code for that.
#[test]
fn a_client_whose_options_are_refused_asks_again_without_them() {
    for code in [
        ErrorCode::OptionNegotiation,
        ErrorCode::IllegalOperation,
        ErrorCode::NotDefined,
    ] {
        let (ending, requests) = refused(code, false);
        assert_eq!((ending.result, requests), (Ok(()), 2), "{code:?}");
    }
}

#[test]
fn a_client_that_is_refused_for_good_does_not_go_on() {
    for (code, most) in [(ErrorCode::NotDefined, 2), (ErrorCode::FileNotFound, 1)] {
        let (ending, requests) = refused(code, true);
        assert_eq!(requests, most, "{code:?}");
        match ending.result {
            Err(Failure::Refused(refusal)) => assert_eq!(refusal.code, code),
            other => panic!("{other:?}"),
        }
    }
}

/// A server that is flooded forgets whoever takes long to answer.
#[test]
fn a_client_that_was_forgotten_asks_again_at_once() {
    for (single_port, write) in [(false, false), (false, true), (true, false), (true, true)] {
        let config = ServerConfig {
            unconfirmed: 1,
            single_port,
            ..ServerConfig::default()
        };
        let link = Link {
            delay: Duration::from_millis(100),
            ..Link::default()
        };
        let mut net = Net::with(1, link, config);
        let (attacker, server) = (net.host(), net.server());
        let config = net.config(LENGTH);
        let transfer = if write {
            net.put(config, LENGTH)
        } else {
            net.get(config, LENGTH)
        };
        // The request has come, and what answers the option acknowledgment has not.
        net.sim.run_for(Duration::from_millis(180));
        let source = ([10, 0, 9, 9], 5000).into();
        let forged = request("100.bin", Options::default());
        net.sim.forge(attacker, source, server, forged);
        let ending = net.done(transfer);
        let stats = net.sim.protocol(net.server).server.stats();
        assert_eq!((stats.requests, stats.displaced), (3, 2), "{stats:?}");
        // Four round trips and a little: nothing waited for a time-out.
        let elapsed = ending.summary.elapsed;
        assert!(elapsed < Duration::from_millis(950), "{elapsed:?}");
    }
}
