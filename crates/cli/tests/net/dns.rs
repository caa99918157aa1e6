//! What hosts say by Multicast DNS, in bytes: good answers, and some that are made to break who reads them.

use std::net::Ipv4Addr;

/// The type that is announced.
const KIND: [&[u8]; 3] = [b"_http", b"_tcp", b"local"];

/// RFC 1035 §3.2.2.
const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const SRV: u16 = 33;

/// The class of the internet; and with the bit that says that there are no others (RFC 6762 §10.2).
const SHARED: u16 = 1;
const UNIQUE: u16 = 0x8001;

fn name(labels: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

fn record(of: &[u8], kind: u16, class: u16, seconds: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let numbers = [
        &kind.to_be_bytes()[..],
        &class.to_be_bytes(),
        &seconds.to_be_bytes(),
        &length.to_be_bytes(),
    ];
    [of, &numbers.concat(), data].concat()
}

/// An answer that nobody has asked for, of so many records.
fn answer(records: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let header = [0, 0, 0x84, 0, 0, 0, count[0], count[1], 0, 0, 0, 0];
    [&header[..], &records.concat()].concat()
}

/// A web server `instance` at port 80 of a host, which holds for so many seconds.
pub(crate) fn web(instance: &[u8], host: &str, address: Ipv4Addr, seconds: u32) -> Vec<u8> {
    let full = name(&[&[instance], &KIND[..]].concat());
    let host = name(&[host.as_bytes(), b"local"]);
    let server = [&[0, 0, 0, 0, 0, 80][..], &host].concat();
    answer(&[
        record(&name(&KIND), PTR, SHARED, seconds, &full),
        record(&full, SRV, UNIQUE, seconds, &server),
        record(&full, TXT, UNIQUE, seconds, &[0]),
        record(&host, A, UNIQUE, seconds, &address.octets()),
    ])
}

/// That there are web servers (RFC 6763 §9).
pub(crate) fn kinds() -> Vec<u8> {
    let all = name(&[b"_services", b"_dns-sd", b"_udp", b"local"]);
    answer(&[record(&all, PTR, SHARED, 120, &name(&KIND))])
}

/// Answers whose names have no end, or end beyond the datagram (RFC 1035 §4.1.4: a pointer is two bytes that begin with
/// 11, and the place in the datagram), or that hold less than they say.
pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let pointer = |at: u8| vec![0xc0, at];
    // The first record begins behind the header of 12 bytes.
    let loops = |first: Vec<u8>| answer(&[record(&first, PTR, SHARED, 120, &first)]);
    let mut many = answer(&[record(&name(&KIND), PTR, SHARED, 120, &pointer(12))]);
    many[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
    let mut long = web(b"long", "long", Ipv4Addr::new(10, 0, 0, 2), 120);
    long.truncate(long.len() - 2);
    vec![
        loops(pointer(12)),
        // Two that point to each other, behind a label.
        loops([&b"\x01a"[..], &pointer(16), &pointer(12)].concat()),
        // One that grows with each turn.
        loops([&b"\x05_http\x04_tcp"[..], &pointer(12)].concat()),
        loops(pointer(255)),
        loops(b"\x3fshort".to_vec()),
        many,
        long,
        vec![0; 11],
    ]
}
