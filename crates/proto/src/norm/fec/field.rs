//! Arithmetic in GF(2⁸).

/// The primitive polynomial x⁸ + x⁴ + x³ + x² + 1.
// RFC 5510 §8.1: the field of Reed–Solomon codes over GF(2⁸).
const POLYNOMIAL: u16 = 0x11d;

/// αⁱ for each i, twice over, so that a sum of two logarithms needs no reduction.
static EXP: [u8; 510] = TABLES.0;
/// The logarithm of each element; 0 for 0.
static LOG: [u8; 256] = TABLES.1;

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

/// The product of two elements.
pub(super) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    EXP[LOG[a as usize] as usize + LOG[b as usize] as usize]
}

/// The logarithm of an element: the i of αⁱ. That of 0, which has none, is 0 here, as that of 1.
pub(super) fn logarithm(element: u8) -> usize {
    LOG[usize::from(element)].into()
}

/// αⁱ.
pub(super) const fn power(i: usize) -> u8 {
    EXP[i % 255]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The quotient of two elements, of which the second is not 0.
    pub(in super::super) fn divide(a: u8, b: u8) -> u8 {
        match a {
            0 => 0,
            a => power(logarithm(a) + 255 - logarithm(b)),
        }
    }

    /// Multiplication as one learns it: shifts and sums, then the remainder by the polynomial.
    pub(in super::super) fn by_hand(a: u8, b: u8) -> u8 {
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
}
