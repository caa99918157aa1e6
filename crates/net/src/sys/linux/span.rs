//! Bytes that lie side by side in memory, be they of one payload or of several.

use std::marker::PhantomData;

/// Where bytes are that stay borrowed, and how many. Payloads that lie side by side are one span: so
/// the kernel has one piece of memory to look at, which saves it as much as to copy some hundred bytes.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(super) vector: libc::iovec,
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> Span<'a> {
    pub(crate) const fn of(payload: &'a [u8]) -> Self {
        Self {
            vector: libc::iovec {
                iov_base: payload.as_ptr().cast_mut().cast(),
                iov_len: payload.len(),
            },
            borrowed: PhantomData,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.vector.iov_len
    }

    /// Goes on with bytes that lie behind it, and says whether they do.
    #[inline]
    pub(crate) fn push(&mut self, next: Self) -> bool {
        let next = next.vector;
        let is_adjacent = self.vector.iov_base.addr() + self.len() == next.iov_base.addr();
        if is_adjacent {
            // The kernel finds these bytes by their address, and not by the pointer to those before
            // them.
            next.iov_base.expose_provenance();
            self.vector.iov_len += next.iov_len;
        }
        is_adjacent
    }

    /// Goes on with those of `payloads` that are `size` bytes long and lie behind it one by one, up to
    /// the first that does not, and says how many.
    #[inline]
    pub(crate) fn extend<P: AsRef<[u8]>>(&mut self, payloads: &'a [P], size: usize) -> usize {
        // So many are compared without a branch between them. At full speed, a sender spends more time
        // here than on all else that is its own.
        const BLOCK: usize = 8;
        let mut end = self.vector.iov_base.addr() + self.len();
        // As in `push`.
        let differs = |payload: &'a P, at: usize| {
            let payload = payload.as_ref();
            (payload.as_ptr().expose_provenance() ^ at) | (payload.len() ^ size)
        };
        let (blocks, _) = payloads.as_chunks::<BLOCK>();
        let mut count = 0;
        for block in blocks {
            let mut differ = 0;
            for (i, payload) in block.iter().enumerate() {
                differ |= differs(payload, end.wrapping_add(i * size));
            }
            if differ != 0 {
                break;
            }
            end += BLOCK * size;
            count += BLOCK;
        }
        for payload in &payloads[count..] {
            if differs(payload, end) != 0 {
                break;
            }
            end += size;
            count += 1;
        }
        self.vector.iov_len += count * size;
        count
    }
}
