use proptest::prelude::*;

use super::field::multiply;
use super::field::tests::divide;
use super::*;

fn symbols(count: usize, length: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut number = seed | 1;
    let mut random = || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        number.to_be_bytes()[0]
    };
    (0..count)
        .map(|_| (0..length).map(|_| random()).collect())
        .collect()
}

fn slices(symbols: &[Vec<u8>]) -> Vec<&[u8]> {
    symbols.iter().map(Vec::as_slice).collect()
}

/// Solves a system of linear equations by elimination: a second way, to check the first by.
fn inverse(mut matrix: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let size = matrix.len();
    for (index, row) in matrix.iter_mut().enumerate() {
        row.extend((0..size).map(|column| u8::from(column == index)));
    }
    for column in 0..size {
        let pivot = (column..size)
            .find(|row| matrix[*row][column] != 0)
            .expect("it can be inverted");
        matrix.swap(column, pivot);
        let scale = matrix[column][column];
        for element in &mut matrix[column] {
            *element = divide(*element, scale);
        }
        let pivot = matrix[column].clone();
        for row in (0..size).filter(|row| *row != column) {
            let factor = matrix[row][column];
            for (element, other) in matrix[row].iter_mut().zip(&pivot) {
                *element ^= multiply(factor, *other);
            }
        }
    }
    matrix.into_iter().map(|row| row[size..].to_vec()).collect()
}

/// The generator matrix as both sources define it, its columns standing as rows: the inverse of the
/// square of a Vandermonde matrix, times all of it. Here, what of it makes parity.
// RFC 5510 §8.2.1: GM = V(k,k)⁻¹ · V(k,n), where V(i,j) = α^(i·j), and i, j are from 0.
fn rows(variant: Variant, source: usize, parity: usize) -> Vec<Vec<u8>> {
    let vandermonde = |place: usize| -> Vec<u8> {
        let point = match (variant, place) {
            (Variant::Nrl, 0) => {
                return (0..source).map(|column| u8::from(column == 0)).collect();
            }
            (Variant::Nrl, place) => place - 1,
            (Variant::Rfc5510, place) => place,
        };
        (0..source).map(|column| power(point * column)).collect()
    };
    let top = inverse((0..source).map(vandermonde).collect());
    let row = |place| {
        let left = vandermonde(place);
        let column = |column: usize| {
            left.iter().zip(&top).fold(0, |sum, (element, row)| {
                sum ^ multiply(*element, row[column])
            })
        };
        (0..source).map(column).collect()
    };
    (source..source + parity).map(row).collect()
}

#[test]
fn parity_is_that_of_the_generator_matrix() {
    for variant in [Variant::Nrl, Variant::Rfc5510] {
        for (count, parity) in [(1, 3), (2, 1), (5, 4), (64, 32)] {
            let known: Vec<_> = (0..count).collect();
            let wanted: Vec<_> = (count..count + parity).collect();
            let found = Code::new(variant, count).coefficients(count, &known, &wanted);
            let matrix = rows(variant, count, parity).concat();
            assert_eq!(found, matrix, "{variant:?} {count} + {parity}");
        }
    }
}

/// RFC 5510 §8.2.1 with α = 2 and two source symbols: the points are 1, 2, 4, and a line through the
/// first two meets the third at (y₀·(4 + 2) + y₁·(4 + 1)) / (1 + 2).
#[test]
fn a_line_goes_on_as_it_began() {
    let coefficients = Code::new(Variant::Rfc5510, 2).coefficients(2, &[0, 1], &[2]);
    assert_eq!(coefficients, [divide(6, 3), divide(5, 3)]);
    // NRL's points are 0, 1, 2: (y₀·(2 + 1) + y₁·2) / 1.
    let coefficients = Code::new(Variant::Nrl, 2).coefficients(2, &[0, 1], &[2]);
    assert_eq!(coefficients, [3, 2]);
}

#[test]
fn a_shortened_block_is_one_that_zeros_fill_up() {
    let code = Code::new(Variant::Nrl, 8);
    let mut source = symbols(5, 10, 1);
    let mut short = vec![vec![0; 10]; 4];
    let mut outputs: Vec<_> = short.iter_mut().map(Vec::as_mut_slice).collect();
    code.encode(&slices(&source), 0, &mut outputs);

    source.resize(8, vec![0; 10]);
    let mut long = vec![vec![0; 10]; 4];
    let mut outputs: Vec<_> = long.iter_mut().map(Vec::as_mut_slice).collect();
    code.encode(&slices(&source), 0, &mut outputs);
    assert_eq!(short, long);
}

proptest! {
    /// Whatever is lost, if as many symbols as there are source symbols came, all are there again.
    #[test]
    fn any_symbols_will_do(
        nrl: bool,
        prepared: bool,
        (max, count) in (1..100_usize).prop_flat_map(|max| (Just(max), 1..=max)),
        parity in 0..60_usize,
        length in 1..100_usize,
        last in 0..100_usize,
        order in any::<u64>(),
        seed in any::<u64>(),
    ) {
        let variant = if nrl { Variant::Nrl } else { Variant::Rfc5510 };
        let mut code = Code::new(variant, max);
        if prepared {
            code.prepare(count, parity);
        }
        let mut source = symbols(count, length, seed);
        // The last symbol of an object is shorter.
        source[count - 1].truncate(last.min(length));
        let mut made = vec![vec![0; length]; parity];
        {
            let mut outputs: Vec<_> = made.iter_mut().map(Vec::as_mut_slice).collect();
            // In two steps, as a sender makes more when more are asked for.
            let (now, later) = outputs.split_at_mut(parity / 2);
            code.encode(&slices(&source), 0, now);
            code.encode(&slices(&source), parity / 2, later);
        }
        let all: Vec<_> = source.iter().chain(&made).map(Vec::as_slice).enumerate().collect();
        // A permutation that follows from `order`.
        let mut came = all.clone();
        came.sort_by_key(|(number, _)| (*number as u64 + 1).wrapping_mul(order | 1) >> 7);
        came.truncate(count);
        let has = |number: usize| came.iter().any(|(other, _)| *other == number);
        let lost: Vec<_> = (0..count).filter(|number| !has(*number)).collect();
        let mut again: Vec<_> = lost.iter().map(|number| vec![0; source[*number].len()]).collect();
        let mut outputs: Vec<_> = lost.iter().copied().zip(again.iter_mut().map(Vec::as_mut_slice)).collect();
        code.decode(count, &came, &mut outputs);
        for (number, symbol) in lost.iter().zip(&again) {
            prop_assert_eq!(symbol, &source[*number]);
        }
    }
}
