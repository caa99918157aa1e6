//! What happens while it is watched.

use std::time::Duration;

use manycast::doctor::{self, Code, Confidence};
use manycast_lab::netns::{Hook, Lab, wait_until};

use crate::{GROUPS, Stream, address, assert_fault, evidence, how, ip, two_hosts};

pub(crate) fn the_interface_goes() {
    for (group, named, gone) in [
        (GROUPS[0], "%eth0", true),
        (GROUPS[0], "", false),
        (GROUPS[1], "%eth0", false),
        (GROUPS[1], "", true),
    ] {
        let lab = Lab::new();
        let (switch, other) = (lab.switch("sw"), lab.switch("other"));
        let [a, b] = two_hosts(&lab, &switch);
        b.connect(&other, "eth1", &["10.1.0.2/24", "fd01::2/64"]);
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let asked = address(&format!("{group}{named}"));
        let examined = b.spawn(move || {
            let how = how(Duration::from_secs(4), None);
            doctor::examine(asked.as_str(), &how).unwrap()
        });
        b.wait_for_group("eth0", ip(group));
        let came = b.count_at(Hook::Prerouting, "udp dport 5000");
        wait_until("some datagrams to come", || came.count() > 100);
        if gone {
            b.delete_device("eth0");
        } else {
            b.link_down("eth0");
        }
        let report = examined.join();
        assert_fault(&report, Code::InterfaceDown, Confidence::Proved);
        let title = if gone { "eth0 is gone" } else { "eth0 is down" };
        assert_eq!(report.findings[0].title, title, "{report:#?}");
        assert!(report.received > 0, "{report:#?}");
        let told = evidence(&report);
        assert!(told.contains("the last one after"), "{report:#?}");
    }
}
