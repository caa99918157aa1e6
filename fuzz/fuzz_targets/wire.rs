//! No read panics, and a failed one reads nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manycast_proto::wire::Reader;

fuzz_target!(|input: (Vec<u8>, Vec<(u8, usize)>)| {
    let (datagram, reads) = input;
    let mut reader = Reader::new(&datagram);
    for (kind, length) in reads {
        let before = reader.offset();
        let read = match kind % 7 {
            0 => reader.u8().map(|_| 1),
            1 => reader.u16().map(|_| 2),
            2 => reader.u32().map(|_| 4),
            3 => reader.u64().map(|_| 8),
            4 => reader.array::<16>().map(|_| 16),
            5 => reader.bytes(length).map(<[u8]>::len),
            _ => reader.end().map(|()| 0),
        };
        assert_eq!(reader.offset(), before + read.unwrap_or(0));
        assert_eq!(reader.remaining(), &datagram[reader.offset()..]);
    }
});
