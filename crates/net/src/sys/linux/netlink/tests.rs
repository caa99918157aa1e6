use super::*;

#[test]
fn what_is_framed_is_split_again() {
    let first = Request::new(16, &[1, 2, 3, 4])
        .with(3, b"eth0\0")
        .with(4, &1500u32.to_ne_bytes());
    let second = Request::new(20, &[5; 8]);
    let mut datagram = first.framed(NLM_F_DUMP_INTR, 7);
    datagram.extend(second.framed(0, 8));

    let found: Vec<_> = messages(&datagram).collect();
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].kind, found[0].flags, found[0].sequence),
        (16, NLM_F_DUMP_INTR, 7)
    );
    assert_eq!((found[1].kind, found[1].payload), (20, &[5; 8][..]));

    let attributes: Vec<_> = attributes(found[0].payload, 4).collect();
    assert_eq!(attributes.len(), 2);
    assert_eq!(
        (attributes[0].0, text(attributes[0].1)),
        (3, "eth0".to_owned())
    );
    assert_eq!(
        (attributes[1].0, u32_at(attributes[1].1, 0)),
        (4, Some(1500))
    );
}

#[test]
fn a_datagram_that_is_cut_anywhere_yields_only_what_is_whole() {
    let request = Request::new(16, &[0; 16])
        .with(3, b"eth0\0")
        .with(4, &[9; 4]);
    let mut datagram = request.framed(0, 1);
    let first = datagram.len();
    datagram.extend(request.framed(0, 2));
    for end in 0..datagram.len() {
        assert_eq!(
            messages(&datagram[..end]).count(),
            usize::from(end >= first),
            "{end}"
        );
    }
    let payload = messages(&datagram).next().unwrap().payload;
    for end in 0..payload.len() {
        let whole = attributes(&payload[..end], 16).count();
        assert_eq!(whole, usize::from(end >= 16 + 9), "{end}");
    }
}

#[test]
fn lengths_that_lie_neither_panic_nor_loop() {
    let mut datagram = Request::new(16, &[0; 16]).with(3, b"eth0\0").framed(0, 1);
    for length in 0..=u8::MAX {
        for place in [0, MESSAGE_HEADER + 16] {
            let honest = datagram[place];
            datagram[place] = length;
            for message in messages(&datagram) {
                assert!(attributes(message.payload, 16).count() <= 2);
            }
            datagram[place] = honest;
        }
    }
}

#[test]
fn an_errno_in_the_answer_is_the_error() {
    let code = |code: i32| {
        Request::new(NLMSG_ERROR, &code.to_ne_bytes())
            .message()
            .status()
    };
    assert_eq!(code(-19).unwrap_err().raw_os_error(), Some(19));
    assert!(code(i32::MIN).is_err());
    assert!(code(0).is_ok());
    assert!(Request::new(NLMSG_DONE, &[]).message().status().is_ok());
}

#[test]
fn an_address_has_four_or_sixteen_bytes() {
    assert_eq!(address(&[10, 0, 0, 1]), Some([10, 0, 0, 1].into()));
    assert_eq!(address(&[0xff; 16]), Some([0xff; 16].into()));
    assert_eq!(address(&[0; 5]), None);
    assert_eq!(address(&[]), None);
}
