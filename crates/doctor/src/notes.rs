//! What must be known while an examination goes on.

use std::fmt;
use std::sync::Arc;

/// Whom to tell what must be known while an examination goes on: that something else is tried than
/// was asked for, for instance. By default nobody.
///
/// ```
/// use manycast::doctor::{Examination, Notes};
///
/// let how = Examination::default().notes(Notes::to(|note| eprintln!("{note}")));
/// ```
#[derive(Clone, Default)]
pub struct Notes {
    listener: Option<Arc<Listener>>,
}

type Listener = dyn Fn(&str) + Send + Sync;

impl Notes {
    /// Tells each note as soon as it is known.
    pub fn to(listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            listener: Some(Arc::new(listener)),
        }
    }

    pub(super) fn tell(&self, note: &str) {
        if let Some(listener) = &self.listener {
            listener(note);
        }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notes(…)")
    }
}
