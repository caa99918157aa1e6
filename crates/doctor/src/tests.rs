//! Checks on what was recorded, with no host at hand.

mod asked;
mod below_ip;
mod not_arriving;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::CounterTables;
use manycast_net::{Interface, JoinedTables};
use manycast_types::InterfaceId;

use super::{
    Captured, CapturedStream, Code, Confidence, Context, Finding, Flow, Frame, LinkState, Mark,
    Querier, Report, SelfTest, Severity, Snapshot, Step, Surroundings, Tally, Watched, checks,
    self_test, target,
};

/// The kernel's counters after so many steps of a stream, in the words of `/proc/net`.
fn tables(
    received: u32,
    multicast: u32,
    delivered: u32,
    filtered: u32,
    ignored: u32,
) -> CounterTables {
    CounterTables {
        snmp: format!(
            "Ip: InReceives InDelivers ReasmReqds ReasmOKs\nIp: {received} {delivered} 0 0\n\
             Udp: IgnoredMulti RcvbufErrors\nUdp: {ignored} 0\n"
        ),
        netstat: format!(
            "TcpExt: IPReversePathFilter\nTcpExt: {filtered}\n\
             IpExt: InMcastPkts OutMcastPkts\nIpExt: {multicast} 2\n"
        ),
        ..CounterTables::default()
    }
}

fn eth0() -> Interface {
    Interface::new(2, "eth0")
}

/// A host that listened on 239.1.2.3:5000 for two seconds, whose counters moved like this.
fn context(moved: &CounterTables) -> Context {
    let counters = moved.counters().unwrap();
    Context {
        target: target(&"239.1.2.3:5000".parse().unwrap()).unwrap(),
        host: Snapshot {
            interfaces: vec![eth0()],
            has_route: true,
            ..Snapshot::default()
        },
        watched: Some(Watched {
            lasted: Duration::from_secs(2),
            joined: vec![InterfaceId::new(2, "eth0")],
            joining: counters.clone(),
            counters,
            self_tests: vec![SelfTest {
                interface: InterfaceId::new(2, "eth0"),
                sent: 10,
                received: 10,
                control: 10,
                meanwhile: Tally::default(),
                lost: [0, 0],
                ipsec: [0, 0],
                took: Duration::ZERO,
                refused: None,
                rules: None,
            }],
            ..Watched::default()
        }),
        program: None,
    }
}

fn report(context: &Context) -> Report {
    Report::new("239.1.2.3:5000".to_owned(), context, checks::all(context))
}

#[track_caller]
fn assert_verdict(context: &Context, code: Code, confidence: Confidence) -> Report {
    let report = report(context);
    let first = report.findings.first().expect("something is found");
    assert_eq!(
        (first.code, first.confidence),
        (code, confidence),
        "{report:#?}"
    );
    report
}

fn flow(datagrams: u64) -> Flow {
    Flow {
        source: "10.0.0.1:4000".parse().unwrap(),
        destination: "239.1.2.3:5000".parse().unwrap(),
        interface: InterfaceId::new(2, "eth0"),
        datagrams,
        largest: 100,
        hops: Some(1),
        first: Duration::ZERO,
        last: Duration::from_secs(2),
        longest_gap: Duration::from_millis(10),
    }
}

#[test]
fn each_pattern_of_the_counters_has_its_name() {
    use Code::{NotArriving, ReversePathFilter, WrongPort};
    use Confidence::{CannotSee, Likely};
    for (moved, code, confidence) in [
        // Received, to joined groups, delivered, filtered, ignored.
        ([0, 0, 0, 0, 0], NotArriving, Likely),
        ([7, 0, 7, 0, 0], NotArriving, Likely),
        ([7, 0, 5, 0, 0], NotArriving, Likely),
        ([20, 0, 5, 0, 0], NotArriving, CannotSee),
        // Without a capture, nothing tells whose they are.
        ([10, 0, 0, 10, 0], ReversePathFilter, Likely),
        ([30, 5, 20, 10, 0], ReversePathFilter, Likely),
        // They may be for other ports of the group.
        ([10, 10, 0, 0, 0], NotArriving, CannotSee),
        ([10, 10, 10, 0, 10], WrongPort, Likely),
    ] {
        let [received, multicast, delivered, filtered, ignored] = moved;
        let tables = tables(received, multicast, delivered, filtered, ignored);
        let mut context = context(&tables);
        assert_verdict(&context, code, confidence);
        // Who captures nothing on the wire knows that all of it was of others.
        context.watched.as_mut().unwrap().captured = Some(Captured::default());
        assert_verdict(&context, NotArriving, Likely);
    }
}

#[test]
fn where_other_groups_are_joined_it_is_likely_only() {
    let joined = JoinedTables {
        igmp: "2\teth0      :     1      V3\n\t\t\t\t090909EF     1 0:00000000\t\t0\n".into(),
        ..JoinedTables::default()
    };
    for (moved, confidence) in [
        (tables(10, 10, 10, 0, 10), Confidence::Likely),
        (tables(10, 10, 0, 0, 0), Confidence::CannotSee),
    ] {
        let mut context = context(&moved);
        context.host.joined = joined.groups().unwrap();
        let code = report(&context).verdict();
        assert_verdict(&context, code, confidence);
    }
}

#[test]
fn what_the_host_sends_to_itself_proves_a_firewall_where_the_stream_is_captured() {
    let mut context = context(&tables(90_000, 80_000, 85_000, 0, 0));
    let test = &mut context.watched.as_mut().unwrap().self_tests[0];
    test.received = 0;
    // They did not come to IP, or were not lost there: tc may have taken them, or NAT.
    assert_verdict(&context, Code::FirewallDrops, Confidence::Likely);
    // A rule may let the sender pass by its address.
    context.watched.as_mut().unwrap().self_tests[0].lost = [11, 0];
    assert_verdict(&context, Code::FirewallDrops, Confidence::Likely);
    context.watched.as_mut().unwrap().captured = Some(captured(5000, 100));
    assert_verdict(&context, Code::FirewallDrops, Confidence::Proved);
    // Where nothing at all comes back, it may be something else than a rule.
    let test = &mut context.watched.as_mut().unwrap().self_tests[0];
    (test.control, test.lost) = (0, [0, 0]);
    assert_verdict(&context, Code::FirewallDrops, Confidence::Likely);
}

#[test]
fn the_greater_of_the_two_filters_is_in_force() {
    let mut host = Snapshot {
        sysctls: BTreeMap::from([("net.ipv4.conf.eth0.rp_filter".to_owned(), "1".to_owned())]),
        ..Snapshot::default()
    };
    assert_eq!(host.rp_filter("eth0"), 1);
    host.sysctls
        .insert("net.ipv4.conf.all.rp_filter".to_owned(), "2".to_owned());
    assert_eq!((host.rp_filter("eth0"), host.rp_filter("eth1")), (2, 2));
}

#[test]
fn a_stream_that_comes_is_delivered_and_walks_all_steps() {
    let mut context = context(&tables(100, 100, 100, 0, 0));
    context.watched.as_mut().unwrap().exact = vec![flow(100)];
    let report = report(&context);
    assert_eq!((report.verdict(), report.received), (Code::Delivered, 100));
    assert!(report.is_healthy());
    let marks: Vec<Mark> = report.steps.iter().map(|state| state.mark).collect();
    assert_eq!(marks, [Mark::Passed; 9]);
}

#[test]
fn the_walk_stops_at_the_first_step_that_is_broken() {
    let report = report(&context(&tables(10, 0, 0, 10, 0)));
    let mark = |step| {
        report
            .steps
            .iter()
            .find(|state| state.step == step)
            .unwrap()
            .mark
    };
    assert_eq!(mark(Step::Arrived), Mark::Passed);
    assert_eq!(mark(Step::ReversePath), Mark::Broken);
    assert_eq!(mark(Step::Membership), Mark::NotReached);
    assert_eq!(mark(Step::Application), Mark::NotReached);
}

#[test]
fn faults_come_before_warnings_and_what_is_surer_before_what_is_less_so() {
    let mut context = context(&tables(0, 0, 0, 0, 0));
    context.host.has_route = false;
    let report = report(&context);
    let order: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.severity, finding.confidence))
        .collect();
    assert!(order.is_sorted() && order.len() == 2, "{order:?}");
    assert_eq!(order[1].0, Severity::Warning);
}

#[test]
fn a_membership_that_ends_and_comes_back_when_joined_anew_wants_a_querier() {
    let mut context = context(&tables(100, 100, 100, 0, 0));
    let watched = context.watched.as_mut().unwrap();
    watched.lasted = Duration::from_secs(300);
    watched.exact = vec![Flow {
        last: Duration::from_secs(260),
        ..flow(26_000)
    }];
    watched.revived = Some(true);
    assert_verdict(&context, Code::NoQuerier, Confidence::Likely);
    // That no query was captured proves nothing; that one was not answered, tells.
    context.watched.as_mut().unwrap().captured = Some(Captured::default());
    assert_verdict(&context, Code::NoQuerier, Confidence::Likely);
    let querier = Querier::new("10.0.0.254".parse().unwrap(), 3, 2, 3);
    let hear = |context: &mut Context, unanswered, answered| {
        let mut querier = querier.clone();
        (querier.unanswered, querier.answered) = (unanswered, answered);
        context.watched.as_mut().unwrap().captured = Some(Captured {
            queriers: vec![querier],
            ..Captured::default()
        });
    };
    hear(&mut context, 1, None);
    assert_verdict(&context, Code::FirewallDropsIgmp, Confidence::Likely);
    // It asked before, was answered, and asked no more.
    hear(&mut context, 0, Some(Duration::from_secs(1)));
    assert_verdict(&context, Code::NoQuerier, Confidence::Likely);
    // It was answered since the stream ceased.
    hear(&mut context, 0, Some(Duration::from_secs(270)));
    assert_verdict(&context, Code::NotArriving, Confidence::Likely);
    hear(&mut context, 1, None);
    context.watched.as_mut().unwrap().revived = Some(false);
    assert!(report(&context).is_healthy(), "the sender may have stopped");
}

#[test]
fn where_nothing_could_be_sent_for_a_test_a_firewall_cannot_be_seen() {
    let mut context = context(&tables(10, 0, 0, 0, 0));
    context.watched.as_mut().unwrap().self_tests.clear();
    let report = assert_verdict(&context, Code::NotArriving, Confidence::CannotSee);
    let last = report.findings.last().unwrap();
    assert_eq!(
        (last.code, last.confidence, last.severity),
        (
            Code::FirewallDrops,
            Confidence::CannotSee,
            Severity::Warning
        )
    );
}

#[test]
fn a_drop_at_the_input_hook_is_possible_by_counters_alone() {
    let mut context = context(&tables(10, 10, 0, 0, 0));
    for _ in 0..2 {
        let report = assert_verdict(&context, Code::NotArriving, Confidence::CannotSee);
        let mut findings = report.findings.iter();
        let firewall = findings.find(|finding| finding.code == Code::FirewallDrops);
        let firewall = firewall.map(|finding| (finding.confidence, finding.severity));
        assert_eq!(firewall, Some((Confidence::Possible, Severity::Warning)));
        context.watched.as_mut().unwrap().self_tests.clear();
    }
}

/// A host by itself, with one interface of this kind.
fn host(kind: &str, surroundings: Surroundings) -> Snapshot {
    let mut interface = eth0();
    interface.kind = kind.to_owned();
    Snapshot {
        interfaces: vec![interface],
        has_route: true,
        surroundings,
        ..Snapshot::default()
    }
}

fn codes(host: &Snapshot) -> Vec<Code> {
    let found = super::host::findings(host, &[]);
    found.into_iter().map(|finding| finding.code).collect()
}

#[test]
fn a_container_is_known_by_its_marks_and_by_its_virtual_cable() {
    let none = Surroundings::default();
    let docker = Surroundings {
        dockerenv: true,
        ..none.clone()
    };
    let pod = Surroundings {
        cgroup: "0::/kubepods.slice/kubepods-besteffort.slice/x\n".to_owned(),
        ..none.clone()
    };
    let nspawn = Surroundings {
        systemd: "systemd-nspawn\n".to_owned(),
        ..none.clone()
    };
    let wsl = Surroundings {
        release: "5.15.153.1-microsoft-standard-WSL2\n".to_owned(),
        ..none.clone()
    };
    for (kind, surroundings, found) in [
        ("veth", &none, None),
        ("veth", &docker, Some("Docker")),
        ("veth", &pod, Some("Kubernetes")),
        ("veth", &nspawn, Some("systemd-nspawn")),
        ("ethernet", &wsl, Some("WSL")),
        // The network of the host, and one of the link.
        ("ethernet", &docker, None),
        ("macvlan", &docker, None),
    ] {
        let host = host(kind, surroundings.clone());
        let findings = super::host::findings(&host, &[]);
        let titles: Vec<_> = findings.iter().map(|finding| &finding.title).collect();
        match found {
            Some(name) => {
                assert_eq!(codes(&host), [Code::ContainerNetwork]);
                assert!(titles[0].contains(&format!("({name})")), "{titles:?}");
            }
            None => assert!(titles.is_empty(), "{titles:?}"),
        }
    }
}

#[test]
fn a_cloud_is_known_by_its_vendor() {
    let surroundings = Surroundings {
        vendor: "Amazon EC2\n".to_owned(),
        ..Surroundings::default()
    };
    assert_eq!(
        codes(&host("ethernet", surroundings)),
        [Code::ContainerNetwork]
    );
    let surroundings = Surroundings {
        vendor: "LENOVO\n".to_owned(),
        ..Surroundings::default()
    };
    assert_eq!(codes(&host("ethernet", surroundings)), []);
}

#[test]
fn an_interface_by_radio_is_told_of() {
    assert_eq!(
        codes(&host("wifi", Surroundings::default())),
        [Code::Wireless]
    );
    // For an address: where something comes by it, or nothing comes at all.
    let mut context = context(&tables(100, 100, 100, 0, 0));
    context.host.interfaces[0].kind = "wifi".to_owned();
    let radio = |context: &Context| {
        let report = report(context);
        report
            .findings
            .iter()
            .any(|finding| finding.code == Code::Wireless)
    };
    assert!(radio(&context));
    context.watched.as_mut().unwrap().exact = vec![flow(100)];
    assert!(radio(&context) && report(&context).is_healthy());
    context.watched.as_mut().unwrap().exact[0].interface = InterfaceId::new(3, "eth1");
    assert!(!radio(&context));
}

/// What was captured on eth0 of one stream to the group, on this port.
fn captured(port: u16, datagrams: u64) -> Captured {
    Captured {
        streams: vec![CapturedStream {
            source: "10.0.0.1:4000".parse().unwrap(),
            destination: [239, 1, 2, 3].into(),
            port,
            interface: 2,
            frame: Frame::Taken,
            datagrams,
        }],
        ..Captured::default()
    }
}

#[test]
fn a_full_table_of_connections_is_proved_by_its_own_counter() {
    let mut context = context(&tables(200, 0, 0, 0, 0));
    let watched = context.watched.as_mut().unwrap();
    watched.conntrack_drops = 200;
    watched.self_tests[0].received = 0;
    // No firewall is accused, whatever its rules are and though nothing comes back.
    let found = assert_verdict(&context, Code::ConntrackFull, Confidence::Likely);
    let accused = |finding: &Finding| finding.code == Code::FirewallDrops;
    assert!(!found.findings.iter().any(accused), "{found:#?}");
    context.watched.as_mut().unwrap().captured = Some(captured(5000, 200));
    assert_verdict(&context, Code::ConntrackFull, Confidence::Proved);
    // Where most of it is lost elsewhere, the counter explains nothing.
    context.watched.as_mut().unwrap().conntrack_drops = 20;
    let other = report(&context).verdict();
    assert_ne!(other, Code::ConntrackFull);
}

#[test]
fn an_interface_in_a_vrf_is_told_before_a_firewall_is() {
    let mut context = context(&tables(200, 0, 200, 0, 0));
    let mut vrf = Interface::new(9, "red");
    vrf.kind = "vrf".to_owned();
    context.host.interfaces[0].master = Some(9);
    context.host.interfaces.push(vrf);
    let watched = context.watched.as_mut().unwrap();
    watched.self_tests[0].received = 0;
    watched.captured = Some(captured(5000, 200));
    let accept = |context: &mut Context, value: &str| {
        let name = checks::vrf::ACCEPT.to_owned();
        context.host.sysctls.insert(name, value.to_owned());
    };
    accept(&mut context, "0");
    assert_verdict(&context, Code::InVrf, Confidence::Likely);
    // Where nothing comes, it is no more than possible.
    context.watched.as_mut().unwrap().captured = Some(Captured::default());
    assert!(
        report(&context)
            .findings
            .iter()
            .any(|finding| finding.code == Code::InVrf && finding.severity == Severity::Warning)
    );
    // Where it is allowed, and where something was received, it is none.
    let told = |context: &Context| codes_of(&report(context)).contains(&Code::InVrf);
    accept(&mut context, "1");
    assert!(!told(&context));
    accept(&mut context, "0");
    context.watched.as_mut().unwrap().exact = vec![flow(100)];
    assert!(!told(&context));
}

/// What came was of a source of this host itself, as another doctor's trial is: that is no proof that
/// the stream arrives, and no check explains it.
#[test]
fn a_host_that_receives_nothing_is_never_healthy() {
    let mut context = context(&tables(10, 10, 10, 0, 0));
    context.target = target(&"10.0.0.9@239.1.2.3:5000".parse().unwrap()).unwrap();
    let mut own = flow(10);
    own.source = "10.0.0.9:4000".parse().unwrap();
    context.watched.as_mut().unwrap().wide = vec![own];
    let report = report(&context);
    assert!(!report.is_healthy(), "{report:#?}");
    assert_eq!(report.received, 0);
}

fn codes_of(report: &Report) -> Vec<Code> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn what_cannot_be_told_is_no_tick() {
    let report = report(&context(&tables(20, 0, 5, 0, 0)));
    assert_eq!(report.findings[0].confidence, Confidence::CannotSee);
    let ticks = report.steps.iter();
    let ticks = ticks.filter(|state| state.mark == Mark::Passed && state.step >= Step::Arrived);
    assert_eq!(ticks.count(), 0, "{report:#?}");
}

/// A counter that moved by the very number of another stream: the way back tells that this one passes.
#[test]
fn a_filter_that_lets_the_source_pass_is_not_accused() {
    let source = [10, 0, 0, 1].into();
    for (mode, back, accused) in [
        ("2", Some(2), false),
        ("2", Some(3), false),
        ("2", None, true),
        ("1", Some(2), false),
        ("1", Some(3), true),
        ("1", None, true),
    ] {
        let mut context = context(&tables(200, 0, 100, 100, 0));
        let name = "net.ipv4.conf.all.rp_filter".to_owned();
        context.host.sysctls.insert(name, mode.to_owned());
        let watched = context.watched.as_mut().unwrap();
        watched.captured = Some(captured(5000, 100));
        watched.routes_back = vec![(source, back)];
        let report = report(&context);
        let mut findings = report.findings.iter();
        let found = findings.find(|found| found.code == Code::ReversePathFilter);
        let expected = accused.then_some(Confidence::Proved);
        assert_eq!(found.map(|found| found.confidence), expected, "{report:#?}");
    }
}

/// To an ordinary user, two counters that moved are two explanations.
#[test]
fn where_several_counters_moved_none_is_likely() {
    let mut context = context(&tables(200, 0, 100, 100, 0));
    let link = LinkState {
        name: "eth0".to_owned(),
        other_host: 100,
        ..LinkState::default()
    };
    assert_verdict(&context, Code::ReversePathFilter, Confidence::Likely);
    context.watched.as_mut().unwrap().links = vec![link];
    let report = report(&context);
    let sure = |found: &&Finding| {
        found.code != Code::NotArriving && found.confidence <= Confidence::Likely
    };
    assert_eq!(report.findings.iter().find(sure), None, "{report:#?}");
    let rivals = [Code::ForeignFrame, Code::ReversePathFilter];
    let told = |code| report.findings.iter().any(|found| found.code == code);
    assert!(rivals.into_iter().all(told), "{report:#?}");
}

/// The stream comes by two interfaces, of which one filters: that one it is, whichever was captured
/// first.
#[test]
fn a_filter_is_charged_to_the_interface_that_filters() {
    let mut context = context(&tables(300, 0, 100, 100, 0));
    context.host.interfaces.push(Interface::new(3, "eth1"));
    let name = "net.ipv4.conf.eth1.rp_filter".to_owned();
    context.host.sysctls.insert(name, "1".to_owned());
    let mut both = captured(5000, 100);
    let mut second = both.streams[0].clone();
    second.interface = 3;
    both.streams.push(second);
    let watched = context.watched.as_mut().unwrap();
    watched.captured = Some(both);
    watched.routes_back = vec![([10, 0, 0, 1].into(), Some(9))];
    let report = assert_verdict(&context, Code::ReversePathFilter, Confidence::Proved);
    assert!(report.findings[0].title.contains("eth1"), "{report:#?}");
}

#[test]
fn what_the_host_sends_to_itself_is_given_up_where_nothing_comes_back() {
    let test = context(&tables(0, 0, 0, 0, 0)).watched.unwrap().self_tests[0].clone();
    let blocked = SelfTest {
        received: 0,
        ..test.clone()
    };
    let of_each = std::iter::repeat_n([test, blocked], 40).flatten();
    assert_eq!(self_test::until_blocked(of_each).len(), 8);
}
