//! What is sent: a message, the lines of standard input, or a file in pieces.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal};
use std::path::Path;

use anyhow::anyhow;

use super::Args;
use crate::commands::input::Inputs;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// Where the payloads come from.
pub(super) enum Source {
    /// The same again and again.
    Message(Vec<u8>),
    Reader {
        inputs: Inputs,
        name: String,
    },
}

impl Source {
    pub(super) fn open(args: &Args, output: &Output) -> anyhow::Result<Self> {
        let stdin = || BufReader::new(io::stdin());
        let (inputs, name) = match (&args.message, &args.file) {
            (Some(message), _) => {
                return Ok(Self::Message(message.as_encoded_bytes().to_vec()));
            }
            (None, None) => {
                if io::stdin().is_terminal() {
                    output.note("each line is sent as you type it; Ctrl-D ends");
                }
                (
                    Inputs::lines(stdin(), "'--file -' sends in pieces"),
                    "standard input".to_owned(),
                )
            }
            (None, Some(path)) if path == Path::new("-") => (
                Inputs::pieces(stdin(), args.size),
                "standard input".to_owned(),
            ),
            (None, Some(path)) => {
                let name = path.display().to_string();
                let file =
                    File::open(path).map_err(|error| anyhow!("cannot open {name}: {error}"))?;
                (Inputs::pieces(BufReader::new(file), args.size), name)
            }
        };
        Ok(Self::Reader { inputs, name })
    }

    /// The next payload; `None` at the end, or when the user asks for one.
    pub(super) fn next(&self, interrupt: &Interrupt) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Message(payload) => Ok(Some(payload.clone())),
            Self::Reader { inputs, name } => inputs
                .next(interrupt)
                .map_err(|error| anyhow!("cannot read {name}: {error}")),
        }
    }
}
