//! Standard input and files, read on a thread of their own, so that Ctrl-C ends a wait for them.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use manycast::MAX_PAYLOAD;

use crate::interrupt::Interrupt;

/// Payloads to come.
pub(super) struct Inputs {
    receiver: Receiver<Input>,
    /// Ends the wait for them.
    waker: SyncSender<Input>,
}

/// What the thread that reads has to tell.
#[derive(Debug)]
enum Input {
    Payload(Vec<u8>),
    End,
    Failed(io::Error),
    Interrupted,
}

/// So many payloads are read ahead.
const AHEAD: usize = 64;

impl Inputs {
    /// Each line as a payload, without its end, LF or CR LF; and what to do about one that is too long.
    pub(super) fn lines(reader: impl BufRead + Send + 'static, remedy: &'static str) -> Self {
        Self::spawn(move |inputs| each_line(reader, remedy, &inputs))
    }

    /// Pieces of `size` bytes; the last one may be shorter.
    pub(super) fn pieces(reader: impl Read + Send + 'static, size: usize) -> Self {
        Self::spawn(move |inputs| each_piece(reader, size, &inputs))
    }

    fn spawn(read: impl FnOnce(SyncSender<Input>) + Send + 'static) -> Self {
        let (waker, receiver) = sync_channel(AHEAD);
        let inputs = waker.clone();
        thread::spawn(move || read(inputs));
        Self { receiver, waker }
    }

    /// Waits for the next payload; `None` at the end, or when the user asks for one.
    pub(super) fn next(&self, interrupt: &Interrupt) -> io::Result<Option<Vec<u8>>> {
        // Where the channel is full, nobody waits for it.
        let waker = self.waker.clone();
        interrupt.then(move || drop(waker.try_send(Input::Interrupted)));
        if interrupt.is_requested() {
            return Ok(None);
        }
        match self.receiver.recv() {
            Ok(Input::Payload(payload)) => Ok(Some(payload)),
            Ok(Input::Failed(error)) => Err(error),
            Ok(Input::End | Input::Interrupted) | Err(_) => Ok(None),
        }
    }
}

fn each_line(mut reader: impl BufRead, remedy: &str, inputs: &SyncSender<Input>) {
    for number in 1_u64.. {
        let mut line = Vec::new();
        // The longest that can be sent, and its end.
        let longest = MAX_PAYLOAD as u64 + 2;
        let input = match reader.by_ref().take(longest).read_until(b'\n', &mut line) {
            Ok(0) => Input::End,
            Ok(_) => {
                if line.pop_if(|byte| *byte == b'\n').is_some() {
                    line.pop_if(|byte| *byte == b'\r');
                }
                if line.len() > MAX_PAYLOAD {
                    let what = format!(
                        "line {number} is longer than a datagram can be ({MAX_PAYLOAD} bytes); \
                         {remedy}"
                    );
                    Input::Failed(io::Error::new(io::ErrorKind::InvalidData, what))
                } else {
                    Input::Payload(line)
                }
            }
            Err(error) => Input::Failed(error),
        };
        let more = matches!(input, Input::Payload(_));
        if inputs.send(input).is_err() || !more {
            return;
        }
    }
}

fn each_piece(mut reader: impl Read, size: usize, inputs: &SyncSender<Input>) {
    loop {
        let mut piece = Vec::with_capacity(size);
        let input = match reader.by_ref().take(size as u64).read_to_end(&mut piece) {
            Ok(0) => Input::End,
            Ok(_) => Input::Payload(piece),
            Err(error) => Input::Failed(error),
        };
        let more = matches!(input, Input::Payload(_));
        if inputs.send(input).is_err() || !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(read: impl FnOnce(&SyncSender<Input>)) -> (Vec<Vec<u8>>, Input) {
        let (inputs, receiver) = sync_channel(AHEAD);
        read(&inputs);
        drop(inputs);
        let mut payloads = Vec::new();
        for input in receiver {
            match input {
                Input::Payload(payload) => payloads.push(payload),
                end => return (payloads, end),
            }
        }
        panic!("it has no end: {payloads:?}");
    }

    #[test]
    fn each_line_is_a_payload_and_empty_ones_are_too() {
        let (payloads, end) = read(|inputs| each_line(&b"one\r\n\n\xff\0\rthree"[..], "", inputs));
        assert_eq!(payloads, [&b"one"[..], b"", b"\xff\0\rthree"]);
        assert!(matches!(end, Input::End));
    }

    #[test]
    fn a_line_that_never_ends_is_not_gathered_for_ever() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        let (payloads, end) = read(|inputs| each_line(endless, "write less", inputs));
        assert!(payloads.is_empty());
        let Input::Failed(error) = end else {
            panic!("{end:?}")
        };
        assert_eq!(
            error.to_string(),
            "line 1 is longer than a datagram can be (65507 bytes); write less"
        );

        let longest = vec![b'x'; MAX_PAYLOAD];
        let with_end = [&longest[..], b"\r\n"].concat();
        assert_eq!(
            read(|inputs| each_line(&with_end[..], "", inputs)).0,
            [longest]
        );
    }

    #[test]
    fn a_file_goes_in_pieces_with_the_rest_at_the_end() {
        let (payloads, _) = read(|inputs| each_piece(&b"abcdefg"[..], 3, inputs));
        assert_eq!(payloads, [&b"abc"[..], b"def", b"g"]);
        assert!(read(|inputs| each_piece(&b""[..], 3, inputs)).0.is_empty());
    }
}
