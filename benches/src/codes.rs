//! The erasure code of NORM: how fast blocks are encoded and decoded, by each kind of instructions.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use manycast_proto::norm::fec::{Code, Kernel, Variant};
use nix::time::{ClockId, clock_gettime};

use crate::report::median;

/// The title of the table.
pub(crate) const TITLE: &str = "Erasure code of NORM";

/// Blocks, as source and parity symbols: those that NORM has by default are in the middle.
const BLOCKS: [(usize, usize); 4] = [(64, 16), (64, 32), (20, 5), (200, 55)];

/// The length of a symbol: as long a segment as fits into Ethernet's frames beside the headers.
const SYMBOL: usize = 1400;

/// How many bytes of source symbols there are: more than a processor's own caches hold.
const SOURCE: usize = 8 << 20;

/// What is measured of a block, in bytes of source symbols a second.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// All parity symbols are made.
    Encode,
    /// As many source symbols as there are parity symbols were lost.
    Decode,
    /// One source symbol was lost.
    DecodeOne,
}

const TASKS: [Task; 3] = [Task::Encode, Task::Decode, Task::DecodeOne];

/// The table: medians of so many rounds, in which kinds of instructions take turns.
pub(crate) fn table(rounds: usize, turn: Duration) -> String {
    let kernels: Vec<_> = Kernel::available().collect();
    let mut text = format!(
        "Gigabytes of source symbols in a second of processor time, symbols of {SYMBOL} bytes: medians of {rounds} \
         rounds in which the kinds of instructions take turns. \"Lost\" says how many source symbols \
         are made again. In brackets the ratio to the plain loop, the median of those of the rounds.\n\n\
         | block, source + parity | |"
    );
    for kernel in &kernels {
        let _ = write!(text, " {kernel} |");
    }
    text += "\n| --- | --- |";
    text += &" ---: |".repeat(kernels.len());
    text.push('\n');
    for (source, parity) in BLOCKS {
        for task in TASKS {
            let mut trials: Vec<_> = kernels
                .iter()
                .map(|kernel| Trial::new(*kernel, source, parity))
                .collect();
            let rates: Vec<Vec<f64>> = (0..rounds)
                .map(|_| {
                    trials
                        .iter_mut()
                        .map(|trial| trial.rate(task, turn))
                        .collect()
                })
                .collect();
            let name = match task {
                Task::Encode => "encode".to_owned(),
                Task::Decode => format!("decode, {parity} lost"),
                Task::DecodeOne => "decode, 1 lost".to_owned(),
            };
            let _ = write!(text, "| {source} + {parity} | {name} |");
            for column in 0..kernels.len() {
                let rate = median(rates.iter().map(|round| round[column]).collect());
                // The plain loop is always there, and last.
                let plain = kernels.len() - 1;
                let ratios = rates.iter().map(|round| round[column] / round[plain]);
                let _ = match column == plain {
                    true => write!(text, " {rate:.2} |"),
                    false => write!(text, " {rate:.2} ({:.1}) |", median(ratios.collect())),
                };
            }
            text.push('\n');
        }
    }
    text
}

/// A code by one kind of instructions, and what it works on.
struct Trial {
    code: Code,
    source: usize,
    parity: usize,
    /// All source symbols of all blocks, one after the other.
    bytes: Vec<u8>,
    /// The parity symbols of one block: what they hold does not change how long it takes.
    made: Vec<u8>,
}

impl Trial {
    fn new(kernel: Kernel, source: usize, parity: usize) -> Self {
        let mut code = Code::new(Variant::Nrl, source).with_kernel(kernel);
        code.prepare(source, parity);
        let block = source * SYMBOL;
        Self {
            code,
            source,
            parity,
            bytes: (0..=250).cycle().take(SOURCE / block * block).collect(),
            made: vec![0; parity * SYMBOL],
        }
    }

    /// In gigabytes of source symbols a second.
    fn rate(&mut self, task: Task, turn: Duration) -> f64 {
        let (start, mut bytes) = (processor_time(), 0);
        while processor_time() - start < turn {
            for block in self.bytes.chunks_exact(self.source * SYMBOL) {
                let source = block.chunks_exact(SYMBOL);
                let parity = self.made.chunks_exact_mut(SYMBOL);
                match task {
                    Task::Encode => {
                        let source: Vec<_> = source.collect();
                        self.code
                            .encode(&source, 0, &mut parity.collect::<Vec<_>>());
                    }
                    Task::Decode | Task::DecodeOne => {
                        let lost = match task {
                            Task::DecodeOne => 1,
                            _ => self.parity,
                        };
                        // The first symbols are lost, and as many of parity came instead: here they
                        // have the bytes of those, which takes as long.
                        let known: Vec<_> = source
                            .enumerate()
                            .map(|(number, symbol)| match number < lost {
                                true => (self.source + number, symbol),
                                false => (number, symbol),
                            })
                            .collect();
                        let mut lost: Vec<_> = parity.enumerate().take(lost).collect();
                        self.code.decode(self.source, &known, &mut lost);
                    }
                }
                black_box(&mut self.made);
                bytes += block.len();
                if processor_time() - start >= turn {
                    break;
                }
            }
        }
        bytes as f64 / (processor_time() - start).as_secs_f64() / 1e9
    }
}

/// How long this thread has run: others on the machine do not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
