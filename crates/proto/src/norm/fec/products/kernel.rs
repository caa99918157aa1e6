//! Which instructions are used.

use std::fmt;

use fearless_simd::Level;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use fearless_simd::Simd;

#[cfg(target_arch = "x86_64")]
use super::vectors::matrices::Matrices;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use super::{add_products_by, vectors::Shuffles};

/// The instructions by which a [`Code`](crate::norm::fec::Code) is reckoned. The bytes are the same
/// by all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// What the compiler makes of a plain loop. Each processor can do it.
    Plain,
    /// Shuffles of 16 bytes, on processors of ARM.
    Neon,
    /// Shuffles of 32 bytes, on processors of Intel and AMD.
    Avx2,
    /// Products of 64 bytes with matrices of bits (AVX-512 with GFNI), on newer processors of Intel
    /// and AMD.
    Gfni,
}

/// All of them, the fastest first.
const ALL: [Kernel; 4] = [Kernel::Gfni, Kernel::Avx2, Kernel::Neon, Kernel::Plain];

impl Kernel {
    /// The fastest that this processor can do.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Plain)
    }

    /// Those that this processor can do, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|kernel| kernel.is_available())
    }

    fn is_available(self) -> bool {
        let level = Level::new();
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => level.as_neon().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => level.as_avx2().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni => level.as_avx512().is_some(),
            _ => {
                let _ = level;
                false
            }
        }
    }

    /// Adds sums of products, of at least one input to at least one output; by a plain loop where the
    /// processor cannot do better.
    pub(super) fn add_products(
        self,
        outputs: &mut [&mut [u8]],
        inputs: &[&[u8]],
        coefficients: &[u8],
    ) {
        let level = Level::new();
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Gfni => {
                if let Some(simd) = level.as_avx512() {
                    return simd.vectorize(
                        #[inline(always)]
                        || add_products_by(Matrices(simd), outputs, inputs, coefficients),
                    );
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                if let Some(simd) = level.as_avx2() {
                    return simd.vectorize(
                        #[inline(always)]
                        || add_products_by(Shuffles(simd), outputs, inputs, coefficients),
                    );
                }
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                if let Some(simd) = level.as_neon() {
                    return simd.vectorize(
                        #[inline(always)]
                        || add_products_by(Shuffles(simd), outputs, inputs, coefficients),
                    );
                }
            }
            _ => {
                let _ = level;
            }
        }
        super::add_products_plainly(outputs, inputs, coefficients);
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "plain loop",
            Self::Neon => "NEON",
            Self::Avx2 => "AVX2",
            Self::Gfni => "AVX-512 and GFNI",
        })
    }
}
