//! No datagram of iperf panics, and what was understood is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::measure::{Header, ServerReport};

fuzz_target!(|datagram: &[u8]| {
    if let Ok(header) = Header::parse(datagram) {
        let mut written = datagram.to_vec();
        header.emit(&mut written);
        let again = Header::parse(&written).expect("its own words");
        // Where there is room, a number is written with 63 bits, even if it was read with 31.
        let wide = written.len() >= 20;
        assert_eq!(again, Header { wide, ..header });
    }
    if let Ok(report) = ServerReport::parse(datagram) {
        let written = report.emit(usize::MAX).expect("there is room");
        // Whole seconds in the microseconds are carried, as far as there is room for them.
        if report.duration.as_secs() <= u32::MAX.into()
            && report.jitter.as_secs() <= u32::MAX.into()
        {
            assert_eq!(ServerReport::parse(&written), Ok(report));
        }
    }
});
