//! What the system calls are given, without the calls, so that Miri can run it: the tests follow
//! the pointers as the kernel would.

use std::net::SocketAddr;
use std::ptr;
use std::slice;

use super::super::features::ControlWriter;
use super::{Messages, Name, Slots, Span, to_name};

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Writes one datagram to where a header points, as `recvmmsg(2)` does.
///
/// # Safety
///
/// The header is prepared, and what it points to is not referred to by anything else.
unsafe fn deliver(header: *mut libc::mmsghdr, payload: &[u8], from: SocketAddr, control: &[u8]) {
    // SAFETY: the caller's promise; each length is compared before.
    unsafe {
        let message = &raw mut (*header).msg_hdr;
        assert_eq!((*message).msg_iovlen as usize, 1);
        let vector = (*message).msg_iov;
        assert!((*vector).iov_len >= payload.len());
        ptr::copy_nonoverlapping(payload.as_ptr(), (*vector).iov_base.cast(), payload.len());
        (*header).msg_len = u32::try_from(payload.len()).unwrap();
        let (name, len) = to_name(from);
        assert!((*message).msg_namelen >= len);
        (*message).msg_name.cast::<Name>().write(name);
        (*message).msg_namelen = len;
        assert!((*message).msg_controllen as usize >= control.len());
        let to = (*message).msg_control.cast();
        ptr::copy_nonoverlapping(control.as_ptr(), to, control.len());
        (*message).msg_controllen = control.len() as _;
    }
}

#[test]
fn what_is_received_is_found_after_each_move_and_at_each_call() {
    const COUNT: u8 = 3;
    let mut slots = Slots::new(usize::from(COUNT), 16);
    for round in 0..4_u8 {
        // A move to the heap and back, between the calls and before what they wrote is read.
        slots = *Box::new(slots);
        let headers = slots.prepare(usize::from(COUNT));
        for i in 0..COUNT {
            let payload = [round * 10 + i; 16];
            let control = [i; 24];
            // SAFETY: `prepare` has made as many headers ready, and `slots` is untouched since.
            unsafe {
                let header = headers.add(usize::from(i));
                deliver(header, &payload, address(i.into()), &control);
            }
        }
        slots = *Box::new(slots);
        for i in 0..COUNT {
            let slot = usize::from(i);
            assert_eq!(slots.payload(slot), [round * 10 + i; 16]);
            assert_eq!(slots.name(slot), Some(address(i.into())));
            assert_eq!(slots.control(slot), [i; 24]);
            assert!(!slots.truncated(slot));
        }
    }
}

#[test]
fn the_next_call_does_not_see_the_lengths_of_the_last() {
    let mut slots = Slots::new(2, 16);
    let headers = slots.prepare(2);
    // SAFETY: `prepare` has made the headers ready, and `slots` is untouched since.
    unsafe { deliver(headers, b"a", address(1), &[]) };
    let headers = slots.prepare(1);
    // SAFETY: as above.
    unsafe { deliver(headers, &[7; 16], address(2), &[9; 200]) };
    assert_eq!(slots.payload(0), [7; 16]);
    assert_eq!(slots.control(0), [9; 200]);
}

/// What a header sends, as `sendmmsg(2)` reads it: the vectors one by one, name and control length.
///
/// # Safety
///
/// The header is prepared, and what it points to is alive.
unsafe fn read(header: *const libc::mmsghdr) -> (Vec<u8>, bool, usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let message = &raw const (*header).msg_hdr;
        let vectors = slice::from_raw_parts((*message).msg_iov, (*message).msg_iovlen as usize);
        let mut payload = Vec::new();
        for vector in vectors {
            // The pieces of one vector may be of several slices, found by their addresses alone.
            let base = ptr::with_exposed_provenance::<u8>(vector.iov_base.expose_provenance());
            for offset in 0..vector.iov_len {
                let at = ptr::with_exposed_provenance::<u8>(base.addr() + offset);
                payload.push(at.read());
            }
        }
        let control = slice::from_raw_parts(
            if (*message).msg_control.is_null() {
                ptr::dangling()
            } else {
                (*message).msg_control.cast::<u8>().cast_const()
            },
            (*message).msg_controllen as usize,
        );
        (payload, (*message).msg_namelen > 0, control.len())
    }
}

#[test]
fn what_is_gathered_is_sent_after_a_move() {
    let memory = *b"side by side";
    let (a, b) = memory.split_at(4);
    let apart = *b", apart";
    let mut control = ControlWriter::new();
    control.push(1, 2, &[3; 4]);
    let mut messages = Messages::new();
    messages.push(Span::of(a), 1);
    messages.push(Span::of(b), 1);
    messages.push(Span::of(&apart), 1);
    messages.end(Some(address(1)), &control);
    messages.push(Span::of(&apart), 1);
    messages.end(None, &ControlWriter::new());
    let rows: Vec<&[u8]> = memory.chunks(4).collect();
    let one_more = [rows[1], &apart[..4]];
    let mut span = Span::of(rows[0]);
    assert_eq!(span.extend(&rows[2..], 4), 0, "one is between");
    assert_eq!(span.extend(&rows[1..], 3), 0, "another length");
    assert_eq!(span.extend(&one_more, 4), 1);
    messages.push(span, 2);
    messages.end(None, &ControlWriter::new());
    let mut messages = *Box::new(messages);
    let headers = messages.prepare();
    // SAFETY: three messages are prepared, and their payloads are borrowed by `messages`.
    unsafe {
        assert_eq!(read(headers), (b"side by side, apart".to_vec(), true, 24));
        assert_eq!(read(headers.add(1)), (b", apart".to_vec(), false, 0));
        assert_eq!(read(headers.add(2)), (b"side by ".to_vec(), false, 0));
    }
}

#[test]
fn a_span_ends_before_the_first_payload_that_does_not_go_on() {
    const COUNT: usize = 40;
    let memory = [0; COUNT * 4 + 4];
    let rows: Vec<&[u8]> = memory.chunks(4).collect();
    let others = [&memory[..4], &memory[..3], &[]];
    for index in 1..=COUNT {
        for other in others {
            let mut payloads = rows.clone();
            payloads[index] = other;
            let mut span = Span::of(payloads[0]);
            let count = span.extend(&payloads[1..], 4);
            assert_eq!((count, span.len()), (index - 1, index * 4));
        }
    }
}
