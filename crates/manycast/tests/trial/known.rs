//! What the doctor is known to lack: cases of which it is wrong, and codes that it has not yet. Both
//! lists must shrink. A case that has come right fails until it is taken off, and so does one that is
//! drawn as another one, and a code that has come.

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

/// Codes that are right for drawn faults, and that the doctor has not yet.
pub(crate) const AWAITED: &[&str] = &[];
