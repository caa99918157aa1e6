//! Where this host runs: in a container, or in a cloud.

use std::env;
use std::fs;
use std::path::Path;

/// The marks that containers, pods and clouds leave in a system, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Whether there is `/run/.containerenv`, as in containers of Podman.
    pub containerenv: bool,
    /// Whether there is `/.dockerenv`.
    pub dockerenv: bool,
    /// `/run/systemd/container`, which names the kind of container where systemd runs in one.
    pub systemd: String,
    /// Whether `KUBERNETES_SERVICE_HOST` is set, as in each pod.
    pub kubernetes: bool,
    /// `/proc/self/cgroup`.
    pub cgroup: String,
    /// `/proc/sys/kernel/osrelease`.
    pub release: String,
    /// `/sys/class/dmi/id/sys_vendor`: who made the machine, or whose virtual machine it is.
    pub vendor: String,
}

/// Clouds whose networks carry no groups by themselves, by the vendors that their machines name.
const CLOUDS: [(&str, &str); 5] = [
    ("Amazon EC2", "Amazon EC2"),
    ("Google", "Google Cloud"),
    ("DigitalOcean", "DigitalOcean"),
    ("Hetzner", "Hetzner Cloud"),
    ("Alibaba Cloud", "Alibaba Cloud"),
];

impl Surroundings {
    /// Reads the marks; those that are not there, or may not be read, are empty.
    pub(super) fn read() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            containerenv: Path::new("/run/.containerenv").exists(),
            dockerenv: Path::new("/.dockerenv").exists(),
            systemd: text("/run/systemd/container"),
            kubernetes: env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
            cgroup: text("/proc/self/cgroup"),
            release: text("/proc/sys/kernel/osrelease"),
            vendor: text("/sys/class/dmi/id/sys_vendor"),
        }
    }

    /// What kind of container this is, as far as it shows.
    pub(super) fn container(&self) -> Option<String> {
        let systemd = self.systemd.trim();
        let kind = if self.kubernetes || self.cgroup.contains("kubepods") {
            "Kubernetes"
        } else if self.containerenv {
            "Podman"
        } else if self.dockerenv || self.cgroup.contains("/docker/") {
            "Docker"
        } else if !systemd.is_empty() {
            systemd
        } else if self.release.to_ascii_lowercase().contains("microsoft") {
            "WSL"
        } else {
            return None;
        };
        Some(kind.to_owned())
    }

    /// In whose cloud this is, as far as it shows.
    pub(super) fn cloud(&self) -> Option<&'static str> {
        let vendor = self.vendor.trim();
        let known = CLOUDS.iter().find(|(name, _)| vendor.starts_with(name));
        known.map(|(_, cloud)| *cloud)
    }
}
