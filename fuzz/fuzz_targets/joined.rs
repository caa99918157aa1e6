//! The tables of joined groups are understood, or rejected at a place within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_net::JoinedTables;

// Form feeds part the tables from one another.
fuzz_target!(|text: &str| {
    let mut tables = text.split('\x0c').map(str::to_owned);
    let mut table = || tables.next().unwrap_or_default();
    let tables = JoinedTables {
        igmp: table(),
        igmp6: table(),
        mcfilter: table(),
        mcfilter6: table(),
    };
    if let Err(error) = tables.groups() {
        assert!(error.offset <= text.len(), "{error}");
    }
});
