//! The tables of `/proc/net` are understood, or rejected at a place within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_doctor::CounterTables;

// Form feeds part the tables from one another.
fuzz_target!(|text: &str| {
    let mut tables = text.split('\x0c').map(str::to_owned);
    let mut table = || tables.next().unwrap_or_default();
    let mut known = CounterTables::default();
    known.snmp = table();
    known.snmp6 = table();
    known.netstat = table();
    known.dev = table();
    known.xfrm_stat = table();
    match known.counters() {
        Ok(counters) => assert_eq!(counters.since(&counters).get("Udp.NoPorts"), 0),
        Err(error) => assert!(error.offset <= text.len(), "{error}"),
    }
    manycast_doctor::fuzzing::udp_table(text);
    manycast_doctor::fuzzing::routed_and_tracked(text);
});
