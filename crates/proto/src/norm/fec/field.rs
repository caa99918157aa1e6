//! Arithmetic in GF(2⁸), and sums of products over long rows of bytes.

/// The primitive polynomial x⁸ + x⁴ + x³ + x² + 1.
// RFC 5510 §8.1: the field of Reed–Solomon codes over GF(2⁸).
const POLYNOMIAL: u16 = 0x11d;

/// αⁱ for each i, twice over, so that a sum of two logarithms needs no reduction.
static EXP: [u8; 510] = TABLES.0;
/// The logarithm of each element but 0.
static LOG: [u8; 256] = TABLES.1;
/// For each element, its products with all numbers of four bits, and with those times 16: what a
/// shuffle of bytes looks up sixteen or thirty-two of at a time.
static NIBBLES: [[[u8; 16]; 2]; 256] = nibbles();

const TABLES: ([u8; 510], [u8; 256]) = tables();

#[expect(clippy::cast_possible_truncation, reason = "elements have 8 bits")]
const fn tables() -> ([u8; 510], [u8; 256]) {
    let (mut exp, mut log) = ([0; 510], [0; 256]);
    let (mut element, mut power) = (1_u16, 0);
    while power < 255 {
        exp[power] = element as u8;
        exp[power + 255] = element as u8;
        log[element as usize] = power as u8;
        element <<= 1;
        if element & 0x100 != 0 {
            element ^= POLYNOMIAL;
        }
        power += 1;
    }
    (exp, log)
}

#[expect(clippy::cast_possible_truncation, reason = "elements have 8 bits")]
const fn nibbles() -> [[[u8; 16]; 2]; 256] {
    let mut table = [[[0; 16]; 2]; 256];
    let mut element = 0;
    while element < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            table[element][0][nibble] = multiply(element as u8, nibble as u8);
            table[element][1][nibble] = multiply(element as u8, (nibble as u8) << 4);
            nibble += 1;
        }
        element += 1;
    }
    table
}

/// The product of two elements.
pub(super) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[LOG[a as usize] as usize + LOG[b as usize] as usize]
}

/// The quotient of two elements; by 0 it is 0.
pub(super) const fn divide(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[LOG[a as usize] as usize + 255 - LOG[b as usize] as usize]
}

/// αⁱ.
pub(super) const fn power(i: usize) -> u8 {
    EXP[i % 255]
}

/// Adds to each of `outputs` the sum of the products of `inputs` with a row of `coefficients`,
/// which stand row after row, one for each input. All inputs are as long as the outputs, or
/// shorter: what is missing of them is 0.
pub(super) fn add_products(outputs: &mut [&mut [u8]], inputs: &[&[u8]], coefficients: &[u8]) {
    debug_assert_eq!(coefficients.len(), outputs.len() * inputs.len());
    let width = inputs.len().max(1);
    let length = outputs.iter().map(|output| output.len()).min().unwrap_or(0);
    let whole = inputs.iter().map(|input| input.len()).min().unwrap_or(0);
    // As far as all inputs reach, in steps of what the kernel takes at once.
    let fast = fast(outputs, inputs, coefficients, whole.min(length));
    for (output, coefficients) in outputs.iter_mut().zip(coefficients.chunks_exact(width)) {
        for (input, coefficient) in inputs.iter().zip(coefficients) {
            let (Some(output), Some(input)) = (output.get_mut(fast..), input.get(fast..)) else {
                continue;
            };
            add_product(output, input, *coefficient);
        }
    }
}

/// Adds the product of `input` and an element to `output`. It has no branches within the loop, so
/// that compilers make vectors of it on every machine.
fn add_product(output: &mut [u8], input: &[u8], coefficient: u8) {
    // The product is the sum of input·2ⁱ over the bits i of the coefficient.
    let bits: [u8; 8] = std::array::from_fn(|i| 0_u8.wrapping_sub(coefficient >> i & 1));
    for (output, input) in output.iter_mut().zip(input) {
        let (mut sum, mut multiple) = (0, *input);
        for bit in bits {
            sum ^= multiple & bit;
            let carry = 0_u8.wrapping_sub(multiple >> 7);
            multiple = multiple << 1 ^ carry & 0x1d;
        }
        *output ^= sum;
    }
}

/// Does the first of `length` bytes where the machine can, and says how many.
#[cfg(target_arch = "x86_64")]
fn fast(outputs: &mut [&mut [u8]], inputs: &[&[u8]], coefficients: &[u8], length: usize) -> usize {
    let length = length - length % avx2::STEP;
    if inputs.is_empty() || length == 0 {
        return 0;
    }
    let Some(avx2) = fearless_simd::Level::new().as_avx2() else {
        return 0;
    };
    let width = inputs.len();
    let groups = outputs.chunks_mut(avx2::ROWS);
    for (outputs, rows) in groups.zip(coefficients.chunks(avx2::ROWS * width)) {
        match outputs {
            [a, b, c, d] => avx2::add_four(avx2, [a, b, c, d], inputs, rows, length),
            rest => {
                for (output, row) in rest.iter_mut().zip(rows.chunks_exact(width)) {
                    avx2::add_one(avx2, output, inputs, row, length);
                }
            }
        }
    }
    length
}

#[cfg(not(target_arch = "x86_64"))]
const fn fast(_: &mut [&mut [u8]], _: &[&[u8]], _: &[u8], _: usize) -> usize {
    0
}

/// Sums of products by shuffles of 32 bytes.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_set1_epi8,
        _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_xor_si256,
    };

    use fearless_simd::prelude::*;
    use fearless_simd::{Avx2, u8x16, u8x32};

    use super::NIBBLES;

    /// How many outputs are worked on at once: as many as the registers hold.
    pub(super) const ROWS: usize = 4;
    /// How many bytes are worked on at once: two vectors, which share the loads of the tables.
    pub(super) const STEP: usize = 64;

    #[inline(always)]
    fn load(avx2: Avx2, bytes: &[u8]) -> __m256i {
        u8x32::from_slice(avx2, &bytes[..32]).into()
    }

    #[inline(always)]
    fn store(avx2: Avx2, vector: __m256i, bytes: &mut [u8]) {
        let vector: u8x32<_> = vector.simd_into(avx2);
        vector.store_slice(&mut bytes[..32]);
    }

    fearless_simd::kernel!(
        pub(super) fn add_four(
            avx2: Avx2,
            outputs: [&mut [u8]; 4],
            inputs: &[&[u8]],
            coefficients: &[u8],
            length: usize,
        ) {
            let mut outputs = outputs;
            let width = inputs.len();
            let low = _mm256_set1_epi8(0x0f);
            let mut at = 0;
            while at + STEP <= length {
                let mut sums = [[_mm256_set1_epi8(0); 2]; 4];
                for (row, output) in outputs.iter().enumerate() {
                    sums[row] = [load(avx2, &output[at..]), load(avx2, &output[at + 32..])];
                }
                for (column, input) in inputs.iter().enumerate() {
                    let input = &input[at..at + STEP];
                    let (a, b) = (load(avx2, input), load(avx2, &input[32..]));
                    let lows = [_mm256_and_si256(a, low), _mm256_and_si256(b, low)];
                    let highs = [
                        _mm256_and_si256(_mm256_srli_epi16::<4>(a), low),
                        _mm256_and_si256(_mm256_srli_epi16::<4>(b), low),
                    ];
                    for row in 0..4 {
                        let coefficient = coefficients[row * width + column];
                        let tables = &NIBBLES[usize::from(coefficient)];
                        let [l, h] = [0, 1].map(|i| {
                            let table = u8x16::from_slice(avx2, &tables[i]).into();
                            _mm256_broadcastsi128_si256(table)
                        });
                        for half in 0..2 {
                            let product = _mm256_xor_si256(
                                _mm256_shuffle_epi8(l, lows[half]),
                                _mm256_shuffle_epi8(h, highs[half]),
                            );
                            sums[row][half] = _mm256_xor_si256(sums[row][half], product);
                        }
                    }
                }
                for (row, output) in outputs.iter_mut().enumerate() {
                    store(avx2, sums[row][0], &mut output[at..]);
                    store(avx2, sums[row][1], &mut output[at + 32..]);
                }
                at += STEP;
            }
        }
    );

    fearless_simd::kernel!(
        pub(super) fn add_one(
            avx2: Avx2,
            output: &mut [u8],
            inputs: &[&[u8]],
            coefficients: &[u8],
            length: usize,
        ) {
            let low = _mm256_set1_epi8(0x0f);
            let mut at = 0;
            while at + STEP <= length {
                let mut sums = [load(avx2, &output[at..]), load(avx2, &output[at + 32..])];
                for (input, coefficient) in inputs.iter().zip(coefficients) {
                    let tables = &NIBBLES[usize::from(*coefficient)];
                    let [l, h] = [0, 1].map(|i| {
                        let table = u8x16::from_slice(avx2, &tables[i]).into();
                        _mm256_broadcastsi128_si256(table)
                    });
                    let input = &input[at..at + STEP];
                    let halves = [load(avx2, input), load(avx2, &input[32..])];
                    for (sum, half) in sums.iter_mut().zip(halves) {
                        let lows = _mm256_and_si256(half, low);
                        let highs = _mm256_and_si256(_mm256_srli_epi16::<4>(half), low);
                        let product = _mm256_xor_si256(
                            _mm256_shuffle_epi8(l, lows),
                            _mm256_shuffle_epi8(h, highs),
                        );
                        *sum = _mm256_xor_si256(*sum, product);
                    }
                }
                store(avx2, sums[0], &mut output[at..]);
                store(avx2, sums[1], &mut output[at + 32..]);
                at += STEP;
            }
        }
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Multiplication as one learns it: shifts and sums, then the remainder by the polynomial.
    fn by_hand(a: u8, b: u8) -> u8 {
        let product = (0..8).fold(0_u16, |sum, bit| {
            sum ^ ((u16::from(a) << bit) * u16::from(b >> bit & 1))
        });
        let rest = (8..15).rev().fold(product, |rest, bit| {
            rest ^ ((POLYNOMIAL << (bit - 8)) * (rest >> bit & 1))
        });
        u8::try_from(rest).unwrap()
    }

    #[test]
    fn products_and_quotients_are_those_of_the_field() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), by_hand(a, b), "{a} {b}");
                if b != 0 {
                    assert_eq!(multiply(divide(a, b), b), a, "{a} {b}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn sums_of_products_are_exact_whatever_the_lengths(
            length in 0..300_usize,
            short in 0..300_usize,
            rows in 0..10_usize,
            width in 0..8_usize,
            seed in any::<u64>(),
        ) {
            let mut number = seed | 1;
            let mut random = || {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                number.to_be_bytes()[0]
            };
            let mut bytes = |length| (0..length).map(|_| random()).collect::<Vec<u8>>();
            let inputs: Vec<_> = (0..width)
                .map(|index| bytes(if index == 0 { short.min(length) } else { length }))
                .collect();
            let coefficients = bytes(rows * width);
            let before: Vec<_> = (0..rows).map(|_| bytes(length)).collect();
            let mut after = before.clone();
            {
                let mut outputs: Vec<_> = after.iter_mut().map(Vec::as_mut_slice).collect();
                let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
                add_products(&mut outputs, &inputs, &coefficients);
            }
            for (row, (before, after)) in before.iter().zip(&after).enumerate() {
                for at in 0..length {
                    let sum = inputs.iter().enumerate().fold(before[at], |sum, (column, input)| {
                        let byte = input.get(at).copied().unwrap_or(0);
                        sum ^ by_hand(byte, coefficients[row * width + column])
                    });
                    prop_assert_eq!(after[at], sum);
                }
            }
        }
    }
}
