use proptest::prelude::*;

use super::super::field::tests::by_hand;
use super::*;

#[test]
fn there_is_always_a_kernel() {
    let all: Vec<_> = Kernel::available().collect();
    assert_eq!(all.first(), Some(&Kernel::best()));
    assert_eq!(all.last(), Some(&Kernel::Plain));
    println!("by hand and by {all:?}");
}

/// Each element with each, so that no entry of a table goes untried.
#[test]
fn every_product_is_that_of_the_field() {
    let input: Vec<u8> = (0..=255).collect();
    for kernel in Kernel::available() {
        for coefficient in 0..=255 {
            let mut output = vec![0; 256];
            add_products(kernel, &mut [&mut output], &[&input], &[coefficient]);
            for (byte, product) in (0..=255).zip(&output) {
                let by_hand = by_hand(byte, coefficient);
                assert_eq!(*product, by_hand, "{kernel}: {byte} times {coefficient}");
            }
        }
    }
}

proptest! {
    /// Lengths that are no multiple of any step, inputs that are shorter, outputs that are, and more
    /// outputs than one pass does.
    #[test]
    fn sums_of_products_are_exact_whatever_the_lengths(
        lengths in proptest::collection::vec(0..700_usize, 0..8),
        rows in proptest::collection::vec(0..700_usize, 0..20),
        seed in any::<u64>(),
    ) {
        let mut number = seed | 1;
        let mut random = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            number.to_be_bytes()[0]
        };
        let mut bytes = |length| (0..length).map(|_| random()).collect::<Vec<u8>>();
        let inputs: Vec<_> = lengths.iter().map(|length| bytes(*length)).collect();
        let coefficients = bytes(rows.len() * inputs.len());
        let before: Vec<_> = rows.iter().map(|length| bytes(*length)).collect();
        let mut expected = before.clone();
        for (row, output) in expected.iter_mut().enumerate() {
            for (column, input) in inputs.iter().enumerate() {
                let coefficient = coefficients[row * inputs.len() + column];
                for (output, input) in output.iter_mut().zip(input) {
                    *output ^= by_hand(*input, coefficient);
                }
            }
        }
        for kernel in Kernel::available() {
            let mut after = before.clone();
            let mut outputs: Vec<_> = after.iter_mut().map(Vec::as_mut_slice).collect();
            let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
            add_products(kernel, &mut outputs, &inputs, &coefficients);
            prop_assert_eq!(&after, &expected, "{}", kernel);
        }
    }
}

/// So many inputs that a strip is a single step.
#[test]
fn many_long_inputs_are_done_strip_by_strip() {
    const WIDTH: usize = 254;
    const LENGTH: usize = 1000;
    let byte = |row: usize, at: usize| (row * 31 + at * 7).to_le_bytes()[0];
    let inputs: Vec<Vec<u8>> = (0..WIDTH)
        .map(|row| (0..LENGTH).map(|at| byte(row, at)).collect())
        .collect();
    let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
    let coefficients: Vec<_> = (0..WIDTH * 9).map(|at| byte(at, at)).collect();
    let by = |kernel| {
        let mut made = vec![vec![0; LENGTH]; 9];
        let mut outputs: Vec<_> = made.iter_mut().map(Vec::as_mut_slice).collect();
        add_products(kernel, &mut outputs, &inputs, &coefficients);
        made
    };
    let plain = by(Kernel::Plain);
    for kernel in Kernel::available() {
        assert!(by(kernel) == plain, "{kernel}");
    }
}
