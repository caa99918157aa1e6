use std::net::IpAddr;

use manycast_types::InterfaceId;

use super::JoinedTables;
use crate::{JoinedGroup, JoinedSource};

// Recorded on Linux 6.18, on a little-endian host: 239.1.2.3 joined once; 232.1.1.1 from 10.0.0.9
// and 10.0.0.8, and excluding 10.0.0.7 by another socket; ff15::7 but for fe80::9; ff35::1 from
// fe80::5. The older querier on e1 and the long name are made up.

/// IPv4 groups are written in the byte order of the host.
#[cfg(target_endian = "little")]
const IGMP: &str = "\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
6\te1-long-name-15:     1      V2
\t\t\t\t010000E0     1 0:00000000\t\t0
7\te0        :     3      V3
\t\t\t\t010101E8     2 1:0000000A\t\t0
\t\t\t\t030201EF     1 0:00000000\t\t1
\t\t\t\t010000E0     1 0:00000000\t\t0
";
#[cfg(target_endian = "big")]
const IGMP: &str = "\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\tE0000001     1 0:00000000\t\t0
6\te1-long-name-15:     1      V2
\t\t\t\tE0000001     1 0:00000000\t\t0
7\te0        :     3      V3
\t\t\t\tE8010101     2 1:0000000A\t\t0
\t\t\t\tEF010203     1 0:00000000\t\t1
\t\t\t\tE0000001     1 0:00000000\t\t0
";

const IGMP6: &str = "\
1    lo              ff020000000000000000000000000001     1 0000000C 0
7    e0              ff150000000000000000000000000007     1 00000004 0
7    e0              ff350000000000000000000000000001     3 00000004 0
";

const MCFILTER: &str = "\
Idx Device        MCA        SRC    INC    EXC
  7     e0 0xe8010101 0x0a000009      1      0
  7     e0 0xe8010101 0x0a000008      1      0
  7     e0 0xe8010101 0x0a000007      0      1
";

const MCFILTER6: &str = "\
Idx Device                Multicast Address                   Source Address    INC    EXC
  7     e0 ff150000000000000000000000000007 fe800000000000000000000000000009      0      1
  7     e0 ff350000000000000000000000000001 fe800000000000000000000000000005      1      0
";

fn tables() -> JoinedTables {
    JoinedTables {
        igmp: IGMP.into(),
        igmp6: IGMP6.into(),
        mcfilter: MCFILTER.into(),
        mcfilter6: MCFILTER6.into(),
    }
}

fn source(address: &str, included: u32, excluded: u32) -> JoinedSource {
    JoinedSource {
        address: address.parse().unwrap(),
        included,
        excluded,
    }
}

#[test]
fn the_four_tables_make_one_list_by_interface_and_group() {
    let joined = |interface, group: &str, users, igmp_version, sources: &[JoinedSource]| {
        let interface: InterfaceId = InterfaceId::clone(interface);
        let group: IpAddr = group.parse().unwrap();
        JoinedGroup {
            interface,
            group,
            users,
            igmp_version,
            sources: sources.to_vec(),
        }
    };
    let (lo, e1, e0) = (
        &InterfaceId::new(1, "lo"),
        &InterfaceId::new(6, "e1-long-name-15"),
        &InterfaceId::new(7, "e0"),
    );
    let wanted = [
        joined(lo, "224.0.0.1", 1, Some(3), &[]),
        joined(lo, "ff02::1", 1, None, &[]),
        joined(e1, "224.0.0.1", 1, Some(2), &[]),
        joined(e0, "224.0.0.1", 1, Some(3), &[]),
        joined(
            e0,
            "232.1.1.1",
            2,
            Some(3),
            &[
                source("10.0.0.9", 1, 0),
                source("10.0.0.8", 1, 0),
                source("10.0.0.7", 0, 1),
            ],
        ),
        joined(e0, "239.1.2.3", 1, Some(3), &[]),
        joined(e0, "ff15::7", 1, None, &[source("fe80::9", 0, 1)]),
        joined(e0, "ff35::1", 3, None, &[source("fe80::5", 1, 0)]),
    ];
    assert_eq!(tables().groups().unwrap(), wanted);
}

#[test]
fn a_kernel_without_one_version_of_ip_still_lists_the_other() {
    let without = JoinedTables {
        igmp6: String::new(),
        mcfilter6: String::new(),
        ..tables()
    };
    let groups = without.groups().unwrap();
    assert_eq!(groups.len(), 5);
    assert!(groups.iter().all(|joined| joined.group.is_ipv4()));
    assert_eq!(JoinedTables::default().groups(), Ok(Vec::new()));
}

#[test]
fn sources_of_a_group_that_is_not_there_are_left_out() {
    let late = JoinedTables {
        igmp: String::new(),
        ..tables()
    };
    assert!(
        late.groups()
            .unwrap()
            .iter()
            .all(|joined| joined.group.is_ipv6())
    );
}

#[test]
fn a_name_may_hold_what_is_no_ascii() {
    let name = "\u{2003}e\u{2003}";
    let named = |table: &str| table.replace("e0 ", &format!("{name} "));
    let strange = JoinedTables {
        igmp: named(IGMP),
        igmp6: named(IGMP6),
        // Cut within a character.
        mcfilter: MCFILTER.replace("e0 ", "lan-k\u{fffd} "),
        mcfilter6: named(MCFILTER6),
    };
    let mut wanted = tables().groups().unwrap();
    for joined in wanted.iter_mut().filter(|it| it.interface.index == 7) {
        joined.interface = InterfaceId::new(7, name);
    }
    assert_eq!(strange.groups().unwrap(), wanted);
}

#[test]
fn a_line_that_makes_no_sense_is_named_with_its_place() {
    let broken = JoinedTables {
        igmp6: IGMP6.replace("0007 ", "000x "),
        ..tables()
    };
    let error = broken.groups().unwrap_err();
    assert_eq!(error.offset, IGMP6.find("7    e0").unwrap());
    assert!(error.what.ends_with("is no line of igmp6"), "{error}");

    let headless = JoinedTables {
        igmp: IGMP.lines().nth(2).unwrap().into(),
        ..tables()
    };
    assert!(
        headless.groups().is_err(),
        "a group with no interface before it"
    );
}

#[test]
fn a_table_that_is_cut_anywhere_is_understood_or_rejected_but_never_panics() {
    for end in 0..IGMP.len() {
        let _ = JoinedTables {
            igmp: IGMP[..end].into(),
            ..tables()
        }
        .groups();
    }
    for end in 0..MCFILTER6.len() {
        let _ = JoinedTables {
            mcfilter6: MCFILTER6[..end].into(),
            ..tables()
        }
        .groups();
    }
}
