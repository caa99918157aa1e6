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

pub(crate) const KNOWN: &[Known] = &[
    Known {
        seed: 2,
        case: "IPv6, host, fault: none, odd: sparse-stream",
        why: "false proof: not-arriving; false alarm",
    },
    Known {
        seed: 25,
        case: "IPv6, program, fault: ingress-drop + sender-by-loopback, odd: none",
        why: "false proof: not-arriving",
    },
    Known {
        seed: 43,
        case: "IPv6, host, fault: redirected-by-tc, odd: none",
        why: "false proof: firewall-drops",
    },
];

/// Codes that are right for drawn faults, and that the doctor has not yet.
pub(crate) const AWAITED: &[&str] = &[
    "foreign-frame",
    "interface-drops",
    "loss",
    "nat-redirect",
    "other-ip-version",
    "socket-filter",
    "wrong-group",
    "xdp-or-tc",
];
