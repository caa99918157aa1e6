//! How vectors of bytes are multiplied by elements of the field.

use std::ops::BitXor;

use fearless_simd::prelude::*;
use fearless_simd::u8x16;

use super::super::field::multiply;

/// The vectors of a processor, and a way to multiply them.
pub(super) trait Vectors: Copy {
    /// How many bytes a vector has, 64 at most.
    const LEN: usize;
    /// How many outputs are worked on at once, a power of two and 8 at most: as many as have room in
    /// the registers with two vectors each.
    const ROWS: usize;
    /// A vector of bytes.
    type Vector: Copy + BitXor<Output = Self::Vector>;
    /// A vector that is ready to be multiplied.
    type Split: Copy;
    /// An element that is ready to multiply by.
    type Factor: Copy;

    fn zeros(self) -> Self::Vector;
    /// Loads [`LEN`](Self::LEN) bytes.
    fn load(self, bytes: &[u8]) -> Self::Vector;
    fn store(self, vector: Self::Vector, bytes: &mut [u8]);
    fn split(self, vector: Self::Vector) -> Self::Split;
    fn factor(self, element: u8) -> Self::Factor;
    fn product(self, split: Self::Split, factor: Self::Factor) -> Self::Vector;
}

/// By shuffles: a byte is the sum of its lower and its upper half, and the products of an element
/// with all halves are a table that a vector holds.
#[derive(Clone, Copy)]
pub(super) struct Shuffles<S: Simd>(pub(super) S);

/// For each element, its products with all numbers of four bits, and with those times 16.
static HALVES: [[[u8; 16]; 2]; 256] = halves();

#[expect(clippy::cast_possible_truncation, reason = "elements have 8 bits")]
const fn halves() -> [[[u8; 16]; 2]; 256] {
    let mut table = [[[0; 16]; 2]; 256];
    let mut element = 0;
    while element < 256 {
        let mut half = 0;
        while half < 16 {
            table[element][0][half] = multiply(element as u8, half as u8);
            table[element][1][half] = multiply(element as u8, (half as u8) << 4);
            half += 1;
        }
        element += 1;
    }
    table
}

impl<S: Simd> Vectors for Shuffles<S> {
    const LEN: usize = S::u8s::LEN;
    const ROWS: usize = 4;
    type Vector = S::u8s;
    type Split = [S::u8s; 2];
    type Factor = [S::u8s; 2];

    #[inline(always)]
    fn zeros(self) -> Self::Vector {
        S::u8s::splat(self.0, 0)
    }

    #[inline(always)]
    fn load(self, bytes: &[u8]) -> Self::Vector {
        S::u8s::from_slice(self.0, bytes)
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, bytes: &mut [u8]) {
        vector.store_slice(bytes);
    }

    #[inline(always)]
    fn split(self, vector: Self::Vector) -> Self::Split {
        [vector & 0x0f, vector >> 4]
    }

    #[inline(always)]
    fn factor(self, element: u8) -> Self::Factor {
        let [low, high] = &HALVES[usize::from(element)];
        [
            S::u8s::block_splat(u8x16::from_slice(self.0, low)),
            S::u8s::block_splat(u8x16::from_slice(self.0, high)),
        ]
    }

    #[inline(always)]
    fn product(self, split: Self::Split, factor: Self::Factor) -> Self::Vector {
        let [low, high] = factor;
        low.swizzle_dyn_within_blocks(split[0]) ^ high.swizzle_dyn_within_blocks(split[1])
    }
}

/// By an instruction that multiplies the bits of each byte by a matrix (GFNI): multiplication by an
/// element is linear.
#[cfg(target_arch = "x86_64")]
pub(super) mod matrices {
    use std::arch::x86_64::{__m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_set1_epi64};

    use fearless_simd::prelude::*;
    use fearless_simd::{Avx512, u8x64};

    use super::{Vectors, multiply};

    #[derive(Clone, Copy)]
    pub(in super::super) struct Matrices(pub(in super::super) Avx512);

    /// For each element, the matrix whose product with a byte is that of the element: its rows are
    /// the bytes, that of the lowest bit comes last.
    static MATRICES: [i64; 256] = matrices();

    #[expect(clippy::cast_possible_truncation, reason = "elements have 8 bits")]
    const fn matrices() -> [i64; 256] {
        let mut table = [0; 256];
        let mut element = 0;
        while element < 256 {
            let mut rows = [0; 8];
            let mut column = 0;
            while column < 8 {
                let product = multiply(element as u8, 1 << column);
                let mut row = 0;
                while row < 8 {
                    rows[7 - row] |= (product >> row & 1) << column;
                    row += 1;
                }
                column += 1;
            }
            table[element] = i64::from_le_bytes(rows);
            element += 1;
        }
        table
    }

    fearless_simd::kernel!(
        #[inline(always)]
        fn splat(avx512: Avx512, matrix: i64) -> __m512i {
            _mm512_set1_epi64(matrix)
        }
    );

    fearless_simd::kernel!(
        #[inline(always)]
        fn multiply_bits(avx512: Avx512, bytes: __m512i, matrix: __m512i) -> __m512i {
            _mm512_gf2p8affine_epi64_epi8::<0>(bytes, matrix)
        }
    );

    impl Vectors for Matrices {
        const LEN: usize = 64;
        const ROWS: usize = 8;
        type Vector = u8x64<Avx512>;
        type Split = __m512i;
        type Factor = __m512i;

        #[inline(always)]
        fn zeros(self) -> Self::Vector {
            u8x64::splat(self.0, 0)
        }

        #[inline(always)]
        fn load(self, bytes: &[u8]) -> Self::Vector {
            u8x64::from_slice(self.0, bytes)
        }

        #[inline(always)]
        fn store(self, vector: Self::Vector, bytes: &mut [u8]) {
            vector.store_slice(bytes);
        }

        #[inline(always)]
        fn split(self, vector: Self::Vector) -> Self::Split {
            vector.into()
        }

        #[inline(always)]
        fn factor(self, element: u8) -> Self::Factor {
            splat(self.0, MATRICES[usize::from(element)])
        }

        #[inline(always)]
        fn product(self, split: Self::Split, factor: Self::Factor) -> Self::Vector {
            multiply_bits(self.0, split, factor).simd_into(self.0)
        }
    }
}
