//! Cases of which it is known that the doctor is wrong. The list must shrink: a case that has come
//! right fails until it is taken off, and so does one that is drawn as another one.

/// A case that is known to be wrong.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) seed: u64,
    /// The case, as it is printed.
    pub(crate) case: &'static str,
    /// What is wrong with what the doctor says of it.
    pub(crate) why: &'static str,
}

pub(crate) const KNOWN: &[Known] = &[];
