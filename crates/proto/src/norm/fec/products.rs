//! Sums of products over long rows of bytes: what encoding and decoding consist of.

mod kernel;
#[cfg(test)]
mod tests;
mod vectors;

use std::mem;

pub use kernel::Kernel;
use vectors::Vectors;

/// About how many bytes of the inputs are worked on for all outputs before the next ones: what the
/// first cache of a processor holds beside the outputs and the tables.
const CACHED: usize = 32 << 10;

/// How many bytes a line of the cache has; where it has others, nothing but speed is lost.
const LINE: usize = 64;

/// The most bytes that a vector has.
const LONGEST: usize = 64;

/// Adds to each of `outputs` the sum of the products of `inputs` with a row of `coefficients`,
/// which stand row after row, one for each input. All inputs are as long as the outputs, or
/// shorter: what is missing of them is 0.
pub(super) fn add_products(
    kernel: Kernel,
    outputs: &mut [&mut [u8]],
    inputs: &[&[u8]],
    coefficients: &[u8],
) {
    debug_assert_eq!(coefficients.len(), outputs.len() * inputs.len());
    if inputs.is_empty() || outputs.is_empty() {
        return;
    }
    kernel.add_products(outputs, inputs, coefficients);
}

/// Does it without vectors of its own. The loop has no branches within, so that compilers make vectors
/// of it on every machine.
fn add_products_plainly(outputs: &mut [&mut [u8]], inputs: &[&[u8]], coefficients: &[u8]) {
    let rows = coefficients.chunks_exact(inputs.len());
    for (output, row) in outputs.iter_mut().zip(rows) {
        for (input, coefficient) in inputs.iter().zip(row) {
            // The product is the sum of input·2ⁱ over the bits i of the coefficient.
            let bits: [u8; 8] = std::array::from_fn(|i| 0_u8.wrapping_sub(coefficient >> i & 1));
            for (output, input) in output.iter_mut().zip(*input) {
                let (mut sum, mut multiple) = (0, *input);
                for bit in bits {
                    sum ^= multiple & bit;
                    let carry = 0_u8.wrapping_sub(multiple >> 7);
                    multiple = multiple << 1 ^ carry & 0x1d;
                }
                *output ^= sum;
            }
        }
    }
}

/// Does it by vectors. It is inlined into a function that may use them, as all that it calls.
#[inline(always)]
fn add_products_by<V: Vectors>(
    vectors: V,
    outputs: &mut [&mut [u8]],
    inputs: &[&[u8]],
    coefficients: &[u8],
) {
    let groups = Groups::new(V::ROWS, inputs.len(), coefficients);
    match outputs.len() <= V::ROWS {
        true => add_few(vectors, outputs, inputs, &groups),
        false => add_strips(vectors, outputs, inputs, &groups),
    }
}

/// Does outputs that are few: a receiver seldom has lost more of a block.
#[inline(always)]
fn add_few<V: Vectors>(
    vectors: V,
    mut outputs: &mut [&mut [u8]],
    inputs: &[&[u8]],
    groups: &Groups,
) {
    for Group { rows, coefficients } in &groups.0 {
        let (these, others) = mem::take(&mut outputs).split_at_mut(*rows);
        outputs = others;
        match rows {
            8 => add_inputs::<V, 8>(vectors, these, inputs, coefficients),
            4 => add_inputs::<V, 4>(vectors, these, inputs, coefficients),
            2 => add_inputs::<V, 2>(vectors, these, inputs, coefficients),
            _ => add_inputs::<V, 1>(vectors, these, inputs, coefficients),
        }
    }
}

/// Does a group input by input, as they are: for few outputs, a copy of the inputs would take as long as
/// the work itself.
#[inline(always)]
fn add_inputs<V: Vectors, const ROWS: usize>(
    vectors: V,
    outputs: &mut [&mut [u8]],
    inputs: &[&[u8]],
    coefficients: &[u8],
) {
    let shortest = outputs.iter().map(|output| output.len()).min();
    let shortest = shortest.unwrap_or(0);
    let (columns, _) = coefficients.as_chunks::<ROWS>();
    for (input, coefficients) in inputs.iter().zip(columns) {
        let factors: [V::Factor; ROWS] = std::array::from_fn(
            #[inline(always)]
            |row| vectors.factor(coefficients[row]),
        );
        let whole = input.len().min(shortest) / V::LEN * V::LEN;
        for at in (0..whole).step_by(V::LEN) {
            let split = vectors.split(vectors.load(&input[at..at + V::LEN]));
            for (output, factor) in outputs.iter_mut().zip(factors) {
                let output = &mut output[at..at + V::LEN];
                let sum = vectors.load(output) ^ vectors.product(split, factor);
                vectors.store(sum, output);
            }
        }
        for (chunk, at) in input[whole..].chunks(V::LEN).zip((whole..).step_by(V::LEN)) {
            let (mut last, mut product) = ([0; LONGEST], [0; LONGEST]);
            last[..chunk.len()].copy_from_slice(chunk);
            let split = vectors.split(vectors.load(&last[..V::LEN]));
            for (output, factor) in outputs.iter_mut().zip(factors) {
                vectors.store(vectors.product(split, factor), &mut product[..V::LEN]);
                let output = output.get_mut(at..).unwrap_or_default();
                for (byte, product) in output.iter_mut().zip(&product[..V::LEN]) {
                    *byte ^= product;
                }
            }
        }
    }
}

/// Does it strip by strip in a copy, which zeros fill up.
#[inline(always)]
fn add_strips<V: Vectors>(
    vectors: V,
    outputs: &mut [&mut [u8]],
    inputs: &[&[u8]],
    groups: &Groups,
) {
    let step = 2 * V::LEN;
    let length = outputs.iter().map(|output| output.len()).max();
    let length = length.unwrap_or(0);
    let strip = (CACHED / inputs.len() / step).max(1) * step;
    let strip = strip.min(length.next_multiple_of(step));
    let mut buffer = vec![0; (inputs.len() + V::ROWS) * strip + LINE];
    // Vectors that lie across two lines of the cache are loaded slower.
    let start = buffer.as_ptr().align_offset(LINE).min(LINE);
    let (copy, sums) = buffer[start..].split_at_mut(inputs.len() * strip);
    let mut at = 0;
    while at < length {
        for (copy, input) in copy.chunks_exact_mut(strip).zip(inputs) {
            let input = input.get(at..).unwrap_or(&[]);
            let input = input.get(..strip).unwrap_or(input);
            let (copy, rest) = copy.split_at_mut(input.len());
            copy.copy_from_slice(input);
            rest.fill(0);
        }
        let wanted = strip.min((length - at).next_multiple_of(step));
        let mut outputs = &mut *outputs;
        for Group { rows, coefficients } in &groups.0 {
            let (these, others) = mem::take(&mut outputs).split_at_mut(*rows);
            outputs = others;
            match rows {
                8 => add_strip::<V, 8>(vectors, sums, copy, strip, coefficients, wanted),
                4 => add_strip::<V, 4>(vectors, sums, copy, strip, coefficients, wanted),
                2 => add_strip::<V, 2>(vectors, sums, copy, strip, coefficients, wanted),
                _ => add_strip::<V, 1>(vectors, sums, copy, strip, coefficients, wanted),
            }
            for (output, sum) in these.iter_mut().zip(sums.chunks_exact(strip)) {
                let output = output.get_mut(at..).unwrap_or_default();
                for (byte, sum) in output.iter_mut().zip(sum) {
                    *byte ^= sum;
                }
            }
        }
        at += strip;
    }
}

/// The coefficients of some outputs at a time, as many as are worked on in one pass over the inputs:
/// those of one input stand together.
struct Groups(Vec<Group>);

struct Group {
    rows: usize,
    coefficients: Vec<u8>,
}

impl Groups {
    fn new(most: usize, width: usize, coefficients: &[u8]) -> Self {
        let mut groups = Vec::new();
        let mut rest = coefficients;
        while !rest.is_empty() {
            // There are passes of 8, 4, 2 outputs and of one.
            let left = rest.len() / width;
            let rows = [8, 4, 2, 1]
                .into_iter()
                .find(|rows| *rows <= left.min(most));
            let rows = rows.unwrap_or(1);
            let (these, others) = rest.split_at(rows * width);
            let column = |column| these.iter().skip(column).step_by(width);
            let coefficients = (0..width).flat_map(column).copied().collect();
            groups.push(Group { rows, coefficients });
            rest = others;
        }
        Self(groups)
    }
}

/// Does a strip of some outputs. Their sums stay in registers while all inputs pass, two vectors of
/// each at a time, which share what is loaded for a coefficient.
#[inline(always)]
fn add_strip<V: Vectors, const ROWS: usize>(
    vectors: V,
    outputs: &mut [u8],
    inputs: &[u8],
    strip: usize,
    coefficients: &[u8],
    wanted: usize,
) {
    let (columns, _) = coefficients.as_chunks::<ROWS>();
    let step = 2 * V::LEN;
    for at in (0..wanted).step_by(step) {
        let mut sums = [[vectors.zeros(); 2]; ROWS];
        for (input, coefficients) in inputs.chunks_exact(strip).zip(columns) {
            let input = &input[at..at + step];
            let first = vectors.split(vectors.load(&input[..V::LEN]));
            let second = vectors.split(vectors.load(&input[V::LEN..]));
            for (sums, coefficient) in sums.iter_mut().zip(coefficients) {
                let factor = vectors.factor(*coefficient);
                sums[0] = sums[0] ^ vectors.product(first, factor);
                sums[1] = sums[1] ^ vectors.product(second, factor);
            }
        }
        for (output, sums) in outputs.chunks_exact_mut(strip).zip(sums) {
            let output = &mut output[at..at + step];
            vectors.store(sums[0], &mut output[..V::LEN]);
            vectors.store(sums[1], &mut output[V::LEN..]);
        }
    }
}
