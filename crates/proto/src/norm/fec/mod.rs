//! Erasure codes: parity symbols from which any lost source symbols can be made again.

mod field;
mod products;
#[cfg(test)]
mod tests;

use field::{logarithm, power};
use products::add_products;

pub use products::Kernel;

/// The most symbols that a block has, source and parity together.
pub const MAX_SYMBOLS: usize = 255;

/// A Reed–Solomon code over GF(2⁸), systematic: the source symbols go out as they are.
///
/// The source symbols of a block are what a polynomial is at the first points, the parity symbols
/// are what it is at the next ones; any symbols, as many as there are source symbols, determine it.
/// That is the code of RFC 5510 §8.2.1, whose generator matrix is made of Vandermonde matrices, said
/// in another way; it needs no inversion of matrices.
///
/// Any symbol may be shorter than the others of its block: it is taken as if zeros followed.
///
/// ```
/// use manycast_proto::norm::fec::{Code, Variant};
///
/// let code = Code::new(Variant::Nrl, 3);
/// let source = [&b"abcd"[..], b"efgh", b"ij"];
/// let mut parity = [[0; 4]; 2];
/// code.encode(&source, 0, &mut parity.each_mut().map(|symbol| &mut symbol[..]));
///
/// // The first two were lost.
/// let mut lost = [[0; 4]; 2];
/// let [a, b] = lost.each_mut().map(|symbol| &mut symbol[..]);
/// code.decode(3, &[(2, &b"ij"[..]), (3, &parity[0]), (4, &parity[1])], &mut [(0, a), (1, b)]);
/// assert_eq!(lost, [*b"abcd", *b"efgh"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    variant: Variant,
    max_block: usize,
    kernel: Kernel,
    /// The rows of the generator matrix for the parity of blocks of some lengths.
    rows: Vec<(usize, Vec<u8>)>,
}

/// Which points a code takes. Both go by the same FEC Encoding IDs on the wire, so that both ends must
/// agree on one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// As NRL's implementation, the only other one of NORM: the points are 0, 1, α, α², …, as in the
    /// code of Luigi Rizzo that many others stem from too, and a block with fewer source symbols than
    /// the longest is one that zeros fill up (a shortened code).
    #[default]
    Nrl,
    /// As RFC 5510 §8.2.1 has it: the points are 1, α, α², …, and the parity of each block follows its
    /// source symbols at once.
    Rfc5510,
}

impl Code {
    /// The code of objects whose longest possible blocks have `max_block` source symbols, from 1;
    /// more than [`MAX_SYMBOLS`] are taken for so many.
    pub fn new(variant: Variant, max_block: usize) -> Self {
        Self {
            variant,
            max_block: max_block.clamp(1, MAX_SYMBOLS),
            kernel: Kernel::best(),
            rows: Vec::new(),
        }
    }

    /// The same code by other instructions than the fastest, to compare them. What the processor
    /// cannot do is done by a plain loop.
    ///
    /// ```
    /// use manycast_proto::norm::fec::{Code, Kernel, Variant};
    ///
    /// let parity = |kernel| {
    ///     let code = Code::new(Variant::Nrl, 2).with_kernel(kernel);
    ///     let mut parity = [0; 4];
    ///     code.encode(&[b"abcd", b"efgh"], 0, &mut [&mut parity]);
    ///     parity
    /// };
    /// for kernel in Kernel::available() {
    ///     assert_eq!(parity(kernel), parity(Kernel::Plain));
    /// }
    /// ```
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// Reckons once what it takes to make `parity` symbols of blocks of `length` source symbols, so
    /// that [`encode`](Self::encode) need not do it for each block.
    pub fn prepare(&mut self, length: usize, parity: usize) {
        let known: Vec<_> = (0..length).collect();
        let fits = |symbol: &usize| self.place(length, *symbol) < MAX_SYMBOLS;
        let wanted = (length..MAX_SYMBOLS).take(parity).take_while(fits);
        let rows = self.coefficients(length, &known, &wanted.collect::<Vec<_>>());
        self.rows.retain(|(other, _)| *other != length);
        self.rows.push((length, rows));
    }

    /// The place of a symbol among the points, in a block of `length` source symbols.
    const fn place(&self, length: usize, symbol: usize) -> usize {
        match self.variant {
            Variant::Nrl if symbol >= length => self.max_block + symbol - length,
            _ => symbol,
        }
    }

    /// How many symbols determine a block, those that are known to be zeros included.
    const fn degree(&self, length: usize) -> usize {
        match self.variant {
            Variant::Nrl if self.max_block > length => self.max_block,
            _ => length,
        }
    }

    const fn point(&self, place: usize) -> u8 {
        match (self.variant, place) {
            (Variant::Nrl, 0) => 0,
            (Variant::Nrl, place) => power(place - 1),
            (Variant::Rfc5510, place) => power(place),
        }
    }

    /// Makes parity symbols of the source symbols of a block: the one numbered `first` among the
    /// parity symbols, and the following. They must be zeros before.
    ///
    /// # Panics
    ///
    /// When there are no source symbols, or more symbols altogether than [`MAX_SYMBOLS`].
    pub fn encode(&self, source: &[&[u8]], first: usize, parity: &mut [&mut [u8]]) {
        let length = source.len();
        let row = |number: usize| number * length;
        let prepared = self.rows.iter().find(|(other, _)| *other == length);
        let rows = prepared.and_then(|(_, rows)| rows.get(row(first)..row(first + parity.len())));
        if let Some(rows) = rows {
            add_products(self.kernel, parity, source, rows);
            return;
        }
        let known: Vec<_> = (0..length).collect();
        let wanted: Vec<_> = (0..parity.len()).map(|i| length + first + i).collect();
        let coefficients = self.coefficients(length, &known, &wanted);
        add_products(self.kernel, parity, source, &coefficients);
    }

    /// Makes lost source symbols of a block of `length` source symbols: `known` are as many symbols,
    /// with their numbers, source or parity; `lost` are those that are wanted, with their numbers.
    /// They must be zeros before, and are as long as is wanted of them.
    ///
    /// # Panics
    ///
    /// When not exactly `length` symbols are known, when one is known twice, or when a number is
    /// beyond [`MAX_SYMBOLS`].
    pub fn decode(&self, length: usize, known: &[(usize, &[u8])], lost: &mut [(usize, &mut [u8])]) {
        let numbers: Vec<_> = known.iter().map(|(number, _)| *number).collect();
        let wanted: Vec<_> = lost.iter().map(|(number, _)| *number).collect();
        let coefficients = self.coefficients(length, &numbers, &wanted);
        let inputs: Vec<_> = known.iter().map(|(_, symbol)| *symbol).collect();
        let mut outputs: Vec<_> = lost.iter_mut().map(|(_, symbol)| &mut **symbol).collect();
        add_products(self.kernel, &mut outputs, &inputs, &coefficients);
    }

    /// By what each of the known symbols must be multiplied to make each of the wanted ones, row
    /// after row: the polynomials of Lagrange at the wanted points.
    fn coefficients(&self, length: usize, known: &[usize], wanted: &[usize]) -> Vec<u8> {
        assert_eq!(
            known.len(),
            length,
            "as many symbols as there are source symbols"
        );
        let degree = self.degree(length);
        let point = |symbol: &usize| {
            let place = self.place(length, *symbol);
            assert!(
                place < MAX_SYMBOLS,
                "symbol {symbol} of a block of {length}"
            );
            self.point(place)
        };
        let mut points: Vec<_> = known.iter().map(point).collect();
        // Symbols that are zeros add nothing, but the polynomial is 0 there.
        points.extend((length..degree).map(|place| self.point(place)));
        let (points, known) = (&points, &points[..length]);
        // The product of the distances of a point to all points but itself, of which the logarithm is
        // taken for 0; here and below by logarithms, since sums are faster than products.
        let distances = |from: u8| {
            let logarithms = points.iter().map(|point| logarithm(from ^ point));
            logarithms.sum::<usize>()
        };
        let weights: Vec<_> = known.iter().map(|point| distances(*point)).collect();
        let row = |symbol: &usize| {
            let at = point(symbol);
            let is_known = known.contains(&at);
            let product = distances(at);
            known
                .iter()
                .zip(&weights)
                .map(move |(point, weight)| match at ^ point {
                    0 => 1,
                    _ if is_known => 0,
                    // A multiple of 255, where logarithms begin anew, keeps it from being negative.
                    distance => power(product + 255 * 256 - weight - logarithm(distance)),
                })
        };
        wanted.iter().flat_map(row).collect()
    }
}
