//! What is said where nothing arrives, and what is not accused.

use std::time::Duration;

use manycast_net::JoinedTables;
use manycast_types::InterfaceId;

use super::super::{
    Captured, Code, Confidence, Context, InterfaceCounters, Querier, Refusal, Severity,
    Surroundings, Tally, host,
};
use super::{assert_verdict, context, report, tables};

/// Sets a counter.
type Set = fn(&mut Tally, u64);

/// What is told to do where nothing arrives.
fn to_do(context: &Context) -> String {
    let report = report(context);
    let mut findings = report.findings.iter();
    let found = findings.find(|found| found.code == Code::NotArriving);
    found.unwrap().remedy.clone().unwrap()
}

#[test]
fn what_to_do_where_nothing_arrives_follows_from_what_was_seen() {
    let mut context = context(&tables(0, 0, 0, 0, 0));
    let all = to_do(&context);
    for hint in [
        "not one packet came by eth0",
        "--for 60s",
        "than 1472 bytes",
        "routers",
        "IGMP snooping",
        "force_igmp_version=2",
    ] {
        assert!(all.contains(hint), "{all}");
    }
    // Others come by the link, it was watched for longer, and this host speaks IGMPv2 as it is.
    let watched = context.watched.as_mut().unwrap();
    let moved = InterfaceCounters {
        received: 7,
        ..InterfaceCounters::default()
    };
    let interfaces = &mut watched.counters.interfaces;
    interfaces.insert("eth0".to_owned(), moved);
    watched.lasted = Duration::from_secs(30);
    let forced = "net.ipv4.conf.all.force_igmp_version".to_owned();
    context.host.sysctls.insert(forced, "2".to_owned());
    let fewer = to_do(&context);
    assert!(fewer.contains("--for 180s"), "{fewer}");
    for gone in ["not one packet", "force_igmp_version"] {
        assert!(!fewer.contains(gone), "{fewer}");
    }
    // No router forwards it, and switches flood it.
    context.target.ip = [224, 0, 0, 251].into();
    let link = to_do(&context);
    assert!(
        !link.contains("routers") && !link.contains("snooping"),
        "{link}"
    );
    context.target.ip = "ff12::5".parse().unwrap();
    let reports = "Icmp6OutMLDv2Reports".to_owned();
    let joining = &mut context.watched.as_mut().unwrap().joining;
    joining.values.insert(reports, 1);
    context.target.interface = Some(InterfaceId::new(2, "eth0"));
    let link = to_do(&context);
    for (hint, is_told) in [
        ("routers", false),
        ("IGMP", false),
        ("than 1452 bytes", true),
        ("MLD snooping", true),
        ("force_mld_version=1", true),
    ] {
        assert_eq!(link.contains(hint), is_told, "{hint}: {link}");
    }
}

#[test]
fn what_is_counted_while_the_group_is_not_joined_is_of_others() {
    let lost = || context(&tables(100, 0, 0, 100, 0));
    let delivered = |name: &str| {
        let mut context = context(&tables(100, 100, 100, 0, 0));
        let counters = &mut context.watched.as_mut().unwrap().counters;
        counters.values.insert(name.to_owned(), 100);
        context
    };
    let counted: [(_, _, Set); 3] = [
        (lost(), Code::ReversePathFilter, |tally, moved| {
            tally.reverse_path = moved;
        }),
        (
            delivered("Udp.IgnoredMulti"),
            Code::WrongPort,
            |tally, moved| tally.ignored = moved,
        ),
        (
            delivered("Udp.InCsumErrors"),
            Code::BadChecksum,
            |tally, moved| tally.checksums = moved,
        ),
    ];
    for (mut context, code, set) in counted {
        assert_verdict(&context, code, Confidence::Likely);
        let unjoined = |context: &mut Context, moved| {
            let mut tally = Tally::default();
            set(&mut tally, moved);
            context.watched.as_mut().unwrap().while_unjoined = Some(tally);
        };
        // It was counted for 0.9 s of the two: 90 of the 100.
        unjoined(&mut context, 100);
        let report = assert_verdict(&context, Code::NotArriving, Confidence::Likely);
        let told = report.findings.iter().find(|found| found.code == code);
        let told = told.unwrap();
        assert_eq!(told.severity, Severity::Warning, "{told:?}");
        assert_eq!(told.confidence, Confidence::Possible, "{told:?}");
        unjoined(&mut context, 40);
        assert_verdict(&context, code, Confidence::Likely);
    }
}

#[test]
fn broadcasts_for_no_port_are_no_datagrams_to_another_port_of_the_group() {
    let mut context = context(&tables(100, 0, 100, 0, 0));
    let counters = &mut context.watched.as_mut().unwrap().counters;
    for name in ["Udp.IgnoredMulti", "IpExt.InBcastPkts"] {
        counters.values.insert(name.to_owned(), 100);
    }
    assert_verdict(&context, Code::NotArriving, Confidence::Likely);
}

#[test]
fn only_what_a_firewall_says_accuses_one_of_forbidding_to_send() {
    let mut context = context(&tables(0, 0, 0, 0, 0));
    let refuse = |context: &mut Context, is_forbidden| {
        let test = &mut context.watched.as_mut().unwrap().self_tests[0];
        (test.received, test.control) = (0, 0);
        test.refused = Some(Refusal {
            error: "cannot send".to_owned(),
            is_forbidden,
            is_of_all: true,
        });
        test.clone()
    };
    let test = refuse(&mut context, false);
    assert_verdict(&context, Code::NotArriving, Confidence::Likely);
    assert!(host::findings(&super::host("ethernet", Surroundings::default()), &[test]).is_empty());
    let test = refuse(&mut context, true);
    assert_verdict(&context, Code::FirewallDrops, Confidence::Proved);
    let found = host::findings(&super::host("ethernet", Surroundings::default()), &[test]);
    assert_eq!(found[0].severity, Severity::Warning);
}

#[test]
fn who_is_a_member_and_heard_no_query_for_as_long_as_queriers_are_silent_has_none() {
    let mut context = context(&tables(0, 0, 0, 0, 0));
    let joined = JoinedTables {
        igmp: "2\teth0      :     1      V3\n\t\t\t\t030201EF     1 0:00000000\t\t0\n".into(),
        ..JoinedTables::default()
    };
    context.host.joined = joined.groups().unwrap();
    let watched = context.watched.as_mut().unwrap();
    watched.captured = Some(Captured::default());
    watched.lasted = Duration::from_secs(120);
    assert_verdict(&context, Code::NotArriving, Confidence::Likely);
    let all = to_do(&context);
    for hint in ["leave 239.1.2.3 and join it again", "--for 130s"] {
        assert!(all.contains(hint), "{all}");
    }
    context.watched.as_mut().unwrap().lasted = Duration::from_secs(130);
    assert_verdict(&context, Code::NoQuerier, Confidence::Likely);
    // One that asks once is one that asks.
    let querier = Querier::new([10, 0, 0, 254].into(), 3, 2, 1);
    let captured = context.watched.as_mut().unwrap().captured.as_mut();
    captured.unwrap().queriers.push(querier);
    assert_verdict(&context, Code::NotArriving, Confidence::Likely);
}
