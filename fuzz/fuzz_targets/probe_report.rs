//! No report panics, and what was understood is told again in the same words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::probe::{MAX_REPORT, Report};

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = Report::parse(bytes) else {
        return;
    };
    let texts = report.findings.iter().flat_map(|finding| &finding.evidence);
    assert!(texts.flat_map(|text| text.chars()).all(|c| !c.is_control()));
    let told = report.emit();
    assert!(told.len() <= MAX_REPORT);
    let again = Report::parse(&told).expect("its own words");
    assert!(again.findings.len() <= report.findings.len());
});
