//! Who delivers files, and by which commands.

use std::process::Command;

use anyhow::Context;
use manycast_lab::netns::Host;

use super::{GROUP, Place, RECEIVERS, Work};
use crate::programs::{OURS, found};

/// Who delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contestant {
    Manycast,
    Uftp,
    Udpcast,
    Nrl,
}

pub(super) const CONTESTANTS: [Contestant; 4] = [
    Contestant::Manycast,
    Contestant::Uftp,
    Contestant::Udpcast,
    Contestant::Nrl,
];

impl Contestant {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Manycast => "**manycast**",
            Self::Uftp => "uftp",
            Self::Udpcast => "udpcast",
            Self::Nrl => "NRL's norm",
        }
    }

    /// Whether it sends folders; the others send one file.
    pub(super) const fn has_folders(self) -> bool {
        matches!(self, Self::Manycast | Self::Uftp)
    }

    pub(super) fn receiver(
        self,
        place: &Place,
        host: &Host,
        number: usize,
    ) -> anyhow::Result<Command> {
        let into = place.path(&format!("into{number}"));
        let line = match self {
            Self::Manycast => format!(
                "receive-files {GROUP}%eth0:6003 --into {into} --name host{number} --count 1 --quiet"
            ),
            Self::Uftp => {
                format!(
                    "-d -I eth0 -B 4194304 -D {into} -T {into}-other -L {into}.log -F {into}.status"
                )
            }
            Self::Udpcast => format!("--interface eth0 --nokbd --file {into}/whole"),
            Self::Nrl => format!(
                "receive to={GROUP} port=6003 node={} file={into}/whole cache={into}/",
                number + 1
            ),
        };
        let program = match self {
            Self::Manycast => found(OURS)?,
            Self::Uftp => found("uftpd")?,
            Self::Udpcast => found("udp-receiver")?,
            Self::Nrl => place.nrl.clone().context("not there")?,
        };
        let mut command = host.command(&program.display().to_string());
        command.args(line.split_whitespace());
        Ok(command)
    }

    pub(super) fn sender(self, place: &Place, host: &Host, work: Work) -> anyhow::Result<Command> {
        let (sent, whole) = (place.path("sent"), place.path("whole"));
        // Each is told the rate at which its packets fill the link, with Ethernet's 14 bytes, or that
        // there is no limit: so many thousandths of what the link carries, in bits a second.
        let rate = |thousandths: u64| match work {
            Work::Limited { link, .. } => Some(link * thousandths * 1000),
            Work::Unlimited => None,
        };
        let line = match self {
            Self::Manycast => {
                // Who does not know what the network carries lets it follow that.
                let rate = rate(970).map_or_else(
                    || "--congestion-control --rate 100G".to_owned(),
                    |rate| format!("--rate {rate}b"),
                );
                format!(
                    "send-files {sent} {GROUP}%eth0:6003 --receivers {RECEIVERS} {rate} --quiet"
                )
            }
            Self::Uftp => {
                let rate =
                    rate(960).map_or_else(|| "-1".to_owned(), |rate| (rate / 1000).to_string());
                format!("-I eth0 -B 4194304 -b 1400 -q -R {rate} {sent}")
            }
            Self::Udpcast => format!(
                "--interface eth0 --file {whole} --min-receivers {RECEIVERS} --nokbd --full-duplex"
            ),
            Self::Nrl => {
                let rate = rate(970).unwrap_or(100_000_000_000);
                let nodes: Vec<_> = (1..=RECEIVERS).map(|node| (node + 1).to_string()).collect();
                let nodes = nodes.join(",");
                format!(
                    "send kind=file to={GROUP} port=6003 node=1 file={whole} rate={rate} receiver={nodes} \
                     block=64 parity=32"
                )
            }
        };
        let program = match self {
            Self::Manycast => found(OURS)?,
            Self::Uftp => found("uftp")?,
            Self::Udpcast => found("udp-sender")?,
            Self::Nrl => place.nrl.clone().context("not there")?,
        };
        let mut command = host.command(&program.display().to_string());
        command.args(line.split_whitespace());
        Ok(command)
    }

    /// Waits until a receiver listens.
    pub(super) fn wait_for(self, host: &Host) {
        let (group, port) = match self {
            Self::Manycast | Self::Nrl => (GROUP, 6003),
            Self::Uftp => ("230.4.4.1", 1044),
            // It finds its sender by broadcasts.
            Self::Udpcast => return host.wait_for_udp_port(9000),
        };
        host.wait_for_udp_port(port);
        host.wait_for_group("eth0", group.parse().expect("it is an address"));
    }
}
