//! Receives by callbacks, as Twisted's `DatagramProtocol` does:
//! `cargo run --example callback :8888`

use std::collections::VecDeque;
use std::time::Instant;

use manycast::{Driver, NetworkEvent, Output, Protocol, Received, Socket, Transmit};

/// Answers each datagram with `OK...` and the datagram.
#[derive(Default)]
struct Echo {
    answers: VecDeque<Transmit>,
}

impl Protocol for Echo {
    type Event = ();

    fn start(&mut self, _now: Instant) {
        println!("started");
    }

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        println!("{} bytes from {}", datagram.payload.len(), datagram.source);
        let answer = [b"OK...", datagram.payload].concat();
        self.answers.push_back(datagram.reply().with(answer.into()));
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        if let Some(peer) = event.refused_by() {
            println!("nobody listens on {peer} any more");
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        match self.answers.pop_front() {
            Some(answer) => Output::Transmit(answer),
            None => Output::Wait {
                until: None,
                reason: "a question",
            },
        }
    }

    fn stop(&mut self, _now: Instant) {
        println!("stopped");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: callback HOST:PORT, or :PORT")?;
    Driver::new(Socket::bind(address)?, Echo::default()).run(|_, ()| {})?;
    Ok(())
}
