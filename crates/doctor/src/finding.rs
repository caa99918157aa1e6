//! One thing that was found.

use std::fmt;

use super::Code;
use super::proof::Grade;

/// Something that was found: what, how sure it is, why, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its stable name.
    pub code: Code,
    /// The far host that it is about, as it was named; `None`: this host, or the way between two.
    pub host: Option<String>,
    /// Whether it is a fault or only good to know.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// One sentence.
    pub title: String,
    /// What it rests on.
    pub evidence: Vec<String>,
    /// What mends it, on the host that it is about. Nothing of it was done.
    pub remedy: Option<String>,
    /// Where it is not proved: which command or privilege would confirm it.
    pub confirm: Option<String>,
}

/// Whether something keeps datagrams away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// It does, or the sources or groups that were asked for are not kept apart.
    Fault,
    /// It does not, but it may tomorrow.
    Warning,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Confidence {
    /// There is positive evidence of the very cause: a counter of it moved by what is known to have
    /// been lost, datagrams were seen with what the finding says of them, or the kernel says so itself.
    Proved,
    /// It explains what was seen, but something that cannot be seen may have done so as well.
    Likely,
    /// It is so on this host, and may or may not matter.
    Possible,
    /// It cannot be seen without more privileges.
    CannotSee,
}

impl Finding {
    /// A fault.
    pub(crate) fn fault(code: Code, grade: impl Into<Grade>, title: impl Into<String>) -> Self {
        Self {
            code,
            host: None,
            severity: Severity::Fault,
            confidence: grade.into().confidence(),
            title: title.into(),
            evidence: Vec::new(),
            remedy: None,
            confirm: None,
        }
    }

    /// A warning.
    pub(crate) fn warning(code: Code, grade: impl Into<Grade>, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::fault(code, grade, title)
        }
    }

    /// The same with one more piece of evidence.
    #[must_use]
    pub(crate) fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// The same with a remedy.
    #[must_use]
    pub(crate) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    /// The same about the far host, if it is about that one.
    #[must_use]
    pub(crate) fn of(self, host: Option<String>) -> Self {
        Self { host, ..self }
    }

    /// The same with what would confirm it.
    #[must_use]
    pub(crate) fn confirm(self, confirm: impl Into<String>) -> Self {
        Self {
            confirm: Some(confirm.into()),
            ..self
        }
    }

    /// Where the page about it is, from the root of the project.
    pub fn page(&self) -> String {
        format!("docs/doctor/{}.md", self.code)
    }
}

impl Severity {
    /// The name, as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Warning => "warning",
        }
    }
}

impl Confidence {
    /// All of them, the surest first.
    pub(super) const ALL: [Self; 4] = [Self::Proved, Self::Likely, Self::Possible, Self::CannotSee];

    /// The name, as it stands in text and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Likely => "likely",
            Self::Possible => "possible",
            Self::CannotSee => "cannot see",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
