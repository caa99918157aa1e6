//! What is lost before a membership could matter.

use std::time::Duration;

use manycast::doctor::{Code, Confidence, Finding, ProgramChoice, Report, Severity};
use manycast::{Listener, SenderConfig, SocketConfig};
use manycast_lab::netns::{Hook, Lab, Snooping, wait_until};

use crate::drop_fragments;
use crate::unseen::{commands, mend};
use crate::{
    BROADCASTS, FORGED, GROUPS, QUERY, QUERY_6, READS, Stream, address, assert_delivered,
    assert_fault, evidence, examine, examine_for, examine_privileged, examine_privileged_for,
    examine_with, privileged_program, program, remedy, two_hosts,
};

pub(crate) fn a_strict_reverse_path_filter() {
    let lab = Lab::new();
    let (switch, other) = (lab.switch("sw"), lab.switch("other"));
    let [a, b] = two_hosts(&lab, &switch);
    // The way back to the source leads by another interface.
    b.connect(&other, "eth1", &["10.9.0.2/24"]);
    a.output("ip address add 10.9.0.77/32 dev eth0");
    b.sysctl("net.ipv4.conf.all.rp_filter", "1");
    let config = SenderConfig::default().from("10.9.0.77:0").unwrap();
    let _stream = Stream::of(
        &a,
        "239.1.2.3%eth0:5000",
        config,
        64,
        Duration::from_millis(5),
    );
    // Who does not capture on the wire does not know whose datagrams are filtered.
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::ReversePathFilter, Confidence::Likely);
    assert!(report.findings[0].title.contains("eth0"), "{report:#?}");
    let report = examine_privileged(&b, "239.1.2.3:5000", None);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Proved);
    assert!(evidence(&report).contains("the route back to 10.9.0.77 leads by eth1"));
    mend(&b, &report);
    assert_delivered(&examine(&b, "239.1.2.3:5000"));
}

/// What the filter drops is another group, from a source as hosts take it that are given no address.
/// Its counter tells of that as well.
pub(crate) fn a_reverse_path_filter_that_strikes_others() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    a.output("ip address add 169.254.7.7/16 dev eth0");
    b.sysctl("net.ipv4.conf.eth0.rp_filter", "1");
    let _other = program(&b, "s = udp('239.9.9.9'); join(s, '239.9.9.9', 'eth0')");
    let from_nowhere = |group: &str| {
        let from = SenderConfig::default().from("169.254.7.7:0").unwrap();
        let to = format!("{group}%eth0:5000");
        Stream::of(&a, &to, from, 64, Duration::from_millis(5))
    };
    let _noise = from_nowhere("239.9.9.9");
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::NotArriving, Confidence::Likely);
    let warned = |finding: &Finding| finding.code == Code::ReversePathFilter;
    let warning = report.findings.iter().find(|finding| warned(finding));
    assert_eq!(warning.unwrap().severity, Severity::Warning, "{report:#?}");
    let report = examine_privileged(&b, "239.1.2.3:5000", None);
    assert_fault(&report, Code::NotArriving, Confidence::Likely);
    assert!(!report.findings.iter().any(warned), "{report:#?}");

    // A program is a member as long as it is looked at, so that an ordinary user knows less.
    let script = format!("s = udp('239.1.2.3'); join(s, '239.1.2.3', 'eth0'){READS}");
    let process = program(&b, &script);
    let pid = Some(ProgramChoice::Pid(process.id()));
    let report = examine_with(&b, "239.1.2.3:5000", pid);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Likely);
    let report = examine_privileged(&b, "239.1.2.3:5000", pid);
    assert_fault(&report, Code::NotArriving, Confidence::Likely);
    assert!(!report.findings.iter().any(warned), "{report:#?}");
    {
        let _stream = Stream::start(&a, "239.1.2.3%eth0:5000");
        let report = examine_privileged(&b, "239.1.2.3:5000", pid);
        assert_delivered(&report);
        assert!(!report.findings.iter().any(warned), "{report:#?}");
    }
    drop(process);

    // Where twice as many come as before, the filter strikes the stream too.
    let _streams = [(); 2].map(|()| from_nowhere("239.1.2.3"));
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::ReversePathFilter, Confidence::Likely);
    assert!(evidence(&report).contains("not joined"), "{report:#?}");
    assert!(
        !evidence(&report).contains("no route leads back"),
        "{report:#?}"
    );
    let off = commands(&report).into_iter().nth(1).unwrap();
    b.output(&off);
    assert_delivered(&examine(&b, "239.1.2.3:5000"));
}

pub(crate) fn a_loose_reverse_path_filter() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    // No way leads back to the source.
    a.output("ip address add 10.9.0.77/32 dev eth0");
    b.sysctl("net.ipv4.conf.eth0.rp_filter", "2");
    let config = SenderConfig::default().from("10.9.0.77:0").unwrap();
    let _stream = Stream::of(
        &a,
        "239.1.2.3%eth0:5000",
        config,
        64,
        Duration::from_millis(5),
    );
    let report = examine(&b, "239.1.2.3:5000");
    assert_fault(&report, Code::ReversePathFilter, Confidence::Likely);
    assert!(evidence(&report).contains("loose"), "{report:#?}");
    assert!(remedy(&report).contains("ip route add NETWORK dev eth0"));

    // Who hears the wire knows the source.
    let report = examine_privileged(&b, "239.1.2.3:5000", None);
    assert_fault(&report, Code::ReversePathFilter, Confidence::Proved);
    assert!(
        remedy(&report).contains("ip route add 10.9.0.77 dev eth0"),
        "{report:#?}"
    );
}

pub(crate) fn the_wrong_port() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let to = address(&format!("{group}%eth0")).replace("5000", "5001");
        let _stream = Stream::start(&a, &to);
        // The kernel's counter is of other groups too, and of broadcasts.
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
        let captured = evidence(&report);
        assert!(captured.contains("to port 5001, on eth0"), "{captured}");
    }
}

/// The kernel counts them as it counts datagrams to groups that no socket wanted, and most links have some.
pub(crate) fn broadcasts_to_a_port_that_nobody_has() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _noise = privileged_program(&a, BROADCASTS);
    let is_told = |report: &Report| {
        let mut codes = report.findings.iter().map(|finding| finding.code);
        codes.any(|code| code == Code::WrongPort)
    };
    let moved = |report: &Report| report.counters.get("Udp.IgnoredMulti") > 0;
    for report in [
        examine(&b, "239.1.2.3:5000"),
        examine_privileged(&b, "239.1.2.3:5000", None),
    ] {
        assert!(moved(&report), "there were none: {report:#?}");
        assert_fault(&report, Code::NotArriving, Confidence::Likely);
        assert!(!is_told(&report), "{report:#?}");
    }
}

/// Another program has what comes, on its port. That it does come shows on the wire alone.
pub(crate) fn the_wrong_port_which_another_program_has() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let to = address(&format!("{group}%eth0")).replace("5000", "5001");
        let _other = b.run(|| Listener::open([&*to], SocketConfig::default()));
        let _stream = Stream::start(&a, &to);
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
        assert!(evidence(&report).contains("has port 5001"), "{report:#?}");
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::WrongPort, Confidence::Likely);
    }
}

/// What comes from the network of the link passes, and what comes from beyond does not.
pub(crate) fn a_reverse_path_filter_for_one_source_of_two() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    a.output("ip address add 10.9.0.77/32 dev eth0");
    b.sysctl("net.ipv4.conf.eth0.rp_filter", "2");
    let from = |from: &str| SenderConfig::default().from(from).unwrap();
    let _streams = ["10.0.0.1:0", "10.9.0.77:0"].map(|source| {
        let to = "239.1.2.3%eth0:5000";
        Stream::of(&a, to, from(source), 64, Duration::from_millis(5))
    });
    // Without privileges it may be another group's.
    let report = examine(&b, "239.1.2.3:5000");
    assert_delivered(&report);
    let warned = |finding: &Finding| finding.code == Code::ReversePathFilter;
    assert!(report.findings.iter().any(warned), "{report:#?}");
    for address in ["239.1.2.3:5000", "10.9.0.77@239.1.2.3:5000"] {
        let report = examine_privileged(&b, address, None);
        assert_fault(&report, Code::ReversePathFilter, Confidence::Proved);
        assert!(remedy(&report).contains("10.9.0.77"), "{report:#?}");
    }
}

pub(crate) fn a_checksum_that_is_wrong() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    for (group, source) in GROUPS.into_iter().zip(["10.0.0.1", "fd00::1"]) {
        let script = format!("{FORGED}\nforge('{source}', '{group}', 0xdead)");
        let _stream = privileged_program(&a, &script);
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::BadChecksum, Confidence::Likely);
        // The counter moved by as many as were seen.
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::BadChecksum, Confidence::Proved);
    }
}

pub(crate) fn a_source_that_cannot_be() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    // The second one is the host's own; the kernel counts none of them.
    for source in ["0.0.0.0", "10.0.0.2", "127.0.0.5"] {
        let script = format!("{FORGED}\nforge('{source}', '239.1.2.3', 0)");
        let _stream = privileged_program(&a, &script);
        let report = examine(&b, "239.1.2.3:5000");
        assert_fault(&report, Code::NotArriving, Confidence::CannotSee);
        let report = examine_privileged(&b, "239.1.2.3:5000", None);
        assert_fault(&report, Code::MartianSource, Confidence::Proved);
        assert!(report.findings[0].title.contains(source), "{report:#?}");
    }
}

pub(crate) fn fragments_that_are_lost() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = two_hosts(&lab, &switch);
    let _rules = drop_fragments(&a);
    for group in GROUPS {
        let to = address(&format!("{group}%eth0"));
        let config = SenderConfig::default();
        let _stream = Stream::of(&a, &to, config, 4000, Duration::from_millis(5));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::Fragmentation, Confidence::Likely);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::Fragmentation, Confidence::Proved);
    }
}

/// The host itself takes some of the pieces away, before they come to IP.
pub(crate) fn fragments_that_the_host_drops() {
    for group in GROUPS {
        let lab = Lab::new();
        let switch = lab.switch("sw");
        let [a, b] = two_hosts(&lab, &switch);
        b.nft(
            "table netdev t {
                chain c {
                    type filter hook ingress device eth0 priority 0
                    ip frag-off & 0x1fff != 0 drop
                    frag frag-off != 0 drop
                }
            }",
        );
        let to = address(&format!("{group}%eth0"));
        let config = SenderConfig::default();
        let _stream = Stream::of(&a, &to, config, 4000, Duration::from_millis(5));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::Fragmentation, Confidence::Likely);
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::Fragmentation, Confidence::Likely);
        let title = &report.findings[0].title;
        assert!(title.contains("on this host"), "{report:#?}");
        mend(&b, &report);
        assert_delivered(&examine(&b, &address(group)));
    }
}

/// That nothing was seen proves nothing, for root neither.
pub(crate) fn nothing_is_sent() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [_a, b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        for report in [
            examine(&b, &address(group)),
            examine_privileged(&b, &address(group), None),
        ] {
            assert_fault(&report, Code::NotArriving, Confidence::Likely);
        }
    }
}

/// On loopback no other host sends, and nothing is lost on the way.
pub(crate) fn nothing_is_sent_on_loopback() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, _b] = two_hosts(&lab, &switch);
    for group in GROUPS {
        let address = address(&format!("{group}%lo"));
        for report in [
            examine(&a, &address),
            examine_privileged(&a, &address, None),
        ] {
            assert_fault(&report, Code::NotArriving, Confidence::Likely);
            let told = format!("{:?}", report.findings);
            for elsewhere in ["switch", "router", "MTU", "eth0:", "serve"] {
                assert!(!told.contains(elsewhere), "{told}");
            }
        }
    }
}

pub(crate) fn the_report_is_blocked_and_the_switch_prunes() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    b.drop_at(Hook::Output, "meta l4proto igmp");
    b.drop_at(
        Hook::Output,
        "icmpv6 type { mld-listener-report, mld2-listener-report }",
    );
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        let report = examine(&b, &address(group));
        assert_fault(&report, Code::FirewallDropsIgmp, Confidence::Likely);
        // Who may read the rules knows which it is, and what lets the reports pass there.
        let report = examine_privileged(&b, &address(group), None);
        assert_fault(&report, Code::FirewallDropsIgmp, Confidence::Proved);
        let insert = remedy(&report)
            .split("; ")
            .find_map(|clause| Some(clause.split_once("sudo ")?.1.to_owned()));
        b.output(&insert.unwrap());
        assert_delivered(&examine(&b, &address(group)));
    }
}

/// A switch that saw a querier once, and then none: it forgets memberships, as the managed ones
/// do after some 260 seconds, and this one after three.
pub(crate) fn the_switch_forgets() {
    let seen = [
        "igmp type membership-query",
        "icmpv6 type mld-listener-query",
    ];
    for ((group, query), seen) in GROUPS.into_iter().zip([QUERY, QUERY_6]).zip(seen) {
        let lab = Lab::new();
        let switch = lab.switch("sw").snooping(Snooping {
            querier: false,
            ..Snooping::default()
        });
        let [a, b] = two_hosts(&lab, &switch);
        let seen = b.count_at(Hook::Prerouting, seen);
        let ask = || {
            let before = seen.count();
            privileged_program(&a, query).close_stdin();
            wait_until("the query to be seen", || seen.count() > before);
        };
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        // Proved it would be after the 260 s that a querier may take.
        ask();
        let report = examine_for(Duration::from_secs(8), &b, &address(group), None);
        assert_fault(&report, Code::NoQuerier, Confidence::Likely);
        let report = examine_privileged_for(Duration::from_secs(8), &b, &address(group), None);
        assert_fault(&report, Code::NoQuerier, Confidence::Likely);
        let captured = evidence(&report);
        assert!(
            captured.contains("not one query was captured"),
            "{captured}"
        );
    }
}

/// The querier asks, the host hears nothing of it and does not report again.
pub(crate) fn the_queries_are_blocked() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let [a, b] = two_hosts(&lab, &switch);
    b.drop_at(Hook::Input, "igmp type membership-query");
    b.drop_at(Hook::Input, "icmpv6 type mld-listener-query");
    for group in GROUPS {
        let _stream = Stream::start(&a, &address(&format!("{group}%eth0")));
        // Only who hears the wire can tell it from a network without a querier.
        let report = examine_for(Duration::from_secs(8), &b, &address(group), None);
        assert_fault(&report, Code::NoQuerier, Confidence::Likely);
        let confirm = report.findings[0].confirm.as_deref().unwrap_or_default();
        assert!(confirm.contains("firewall-drops-igmp"), "{report:#?}");
        let report = examine_privileged_for(Duration::from_secs(8), &b, &address(group), None);
        assert_fault(&report, Code::FirewallDropsIgmp, Confidence::Likely);
    }
}
