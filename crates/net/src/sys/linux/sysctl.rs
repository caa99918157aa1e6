//! Kernel parameters by `/proc/sys` (`proc_sys(5)`).

use std::fs;

pub(crate) fn sysctl(name: &str) -> Option<String> {
    let path = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    let text = fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
    Some(text.trim().to_owned())
}
