use super::{CounterTables, InterfaceCounters};

// Recorded on Linux 6.18, shortened.

const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives InDelivers
Ip: 2 64 1200 1150
Tcp: RtoAlgorithm MaxConn
Tcp: 1 -1
Udp: InDatagrams NoPorts RcvbufErrors IgnoredMulti
Udp: 40 3 7 50
";
const NETSTAT: &str = "\
TcpExt: SyncookiesSent IPReversePathFilter
TcpExt: 0 10
IpExt: InMcastPkts OutMcastPkts
IpExt: 99 12
";
const SNMP6: &str = "\
Ip6InReceives                   \t104
Icmp6InGroupMembQueries         \t2
";
const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
eth0:    9000      90    0    5    0     0          0        70     1000      11    0    0    0     0       0          0
";

fn tables() -> CounterTables {
    CounterTables {
        snmp: SNMP.into(),
        snmp6: SNMP6.into(),
        netstat: NETSTAT.into(),
        xfrm_stat: "XfrmInPolBlock          \t7\n".into(),
        dev: DEV.into(),
    }
}

#[test]
fn counters_have_the_names_of_the_kernel() {
    let counters = tables().counters().unwrap();
    for (name, value) in [
        ("Ip.InReceives", 1200),
        ("Udp.IgnoredMulti", 50),
        ("TcpExt.IPReversePathFilter", 10),
        ("IpExt.InMcastPkts", 99),
        ("Ip6InReceives", 104),
        ("Icmp6InGroupMembQueries", 2),
        ("XfrmInPolBlock", 7),
        ("Tcp.MaxConn", 0),
        ("Ip.NoSuchThing", 0),
    ] {
        assert_eq!(counters.get(name), value, "{name}");
    }
    let eth0 = InterfaceCounters {
        received: 90,
        dropped: 5,
        multicast: 70,
        sent: 11,
    };
    assert_eq!(counters.interfaces["eth0"], eth0);
    assert_eq!(counters.interfaces.len(), 2);
}

#[test]
fn what_grew_is_the_difference_and_what_shrank_did_not_grow() {
    let before = tables().counters().unwrap();
    let later = CounterTables {
        snmp: SNMP.replace("1200 1150", "1210 1150"),
        dev: DEV.replace("      90 ", "       3 "),
        ..tables()
    };
    let grown = later.counters().unwrap().since(&before);
    assert_eq!(grown.get("Ip.InReceives"), 10);
    assert_eq!(grown.get("Ip.InDelivers"), 0);
    assert_eq!(grown.interfaces["eth0"].received, 0);
}

#[test]
fn a_line_that_makes_no_sense_is_named_with_its_place() {
    let broken = CounterTables {
        netstat: NETSTAT.replace("IpExt: 99", "IpExt: many"),
        ..tables()
    };
    let error = broken.counters().unwrap_err();
    assert_eq!(error.offset, NETSTAT.find("IpExt").unwrap());
    let odd = CounterTables {
        snmp: "Ip: InReceives\n".into(),
        ..tables()
    };
    assert!(odd.counters().is_err(), "names without numbers");
}

#[test]
fn a_table_that_is_cut_anywhere_is_understood_or_rejected_but_never_panics() {
    for end in 0..SNMP.len() {
        let _ = CounterTables {
            snmp: SNMP[..end].into(),
            dev: DEV[..end.min(DEV.len())].into(),
            snmp6: SNMP6[..end.min(SNMP6.len())].into(),
            ..tables()
        }
        .counters();
    }
}
