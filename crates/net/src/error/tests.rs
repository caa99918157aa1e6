use super::{Error, ErrorKind, Operation};

#[test]
fn every_errno_that_users_meet_gets_its_sentence() {
    for errno in [
        libc::ENODEV,
        libc::ENETUNREACH,
        libc::ENOBUFS,
        libc::EADDRINUSE,
        libc::EADDRNOTAVAIL,
        libc::EACCES,
        libc::EMSGSIZE,
        libc::EINVAL,
        libc::EHOSTUNREACH,
    ] {
        for operation in [
            Operation::Bind,
            Operation::Join,
            Operation::Leave,
            Operation::Send,
            Operation::Connect,
        ] {
            let error = Error::from_errno(operation, "X", errno);
            let text = error.to_string();
            assert_ne!(error.kind(), ErrorKind::Other, "{text}");
            // Cause, errno and remedy, in this order, and not the bare text of the C library.
            let (cause, remedy) = text.split_once(&format!(" (os error {errno}); ")).unwrap();
            assert!(
                cause.starts_with(&format!("cannot {operation} X: ")),
                "{text}"
            );
            assert!(remedy.len() > 10, "{text}");
            let bare = std::io::Error::from_raw_os_error(errno).to_string();
            assert!(!text.contains(bare.split(" (os").next().unwrap()), "{text}");
        }
    }
}

#[test]
fn what_the_caller_knows_beats_what_the_errno_says() {
    let error = Error::from_errno(Operation::Join, "239.1.2.3 on wg0", libc::ENODEV).explained(
        "the interface has no MULTICAST flag",
        "choose another with %INTERFACE or see 'manycast interfaces'",
    );
    assert_eq!(
        error.to_string(),
        "cannot join 239.1.2.3 on wg0: the interface has no MULTICAST flag (os error 19); choose \
         another with %INTERFACE or see 'manycast interfaces'"
    );
}

#[test]
fn it_converts_to_an_io_error_of_the_same_kind() {
    let error = Error::from_errno(Operation::Receive, "10.0.0.1:9", libc::ECONNREFUSED);
    let text = error.to_string();
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_zone_is_told_by_its_name() {
    let told = |target: &str| Error::from_errno(Operation::Send, target, libc::ENETUNREACH);
    for (target, shown) in [
        ("[fe80::1%1]:5000", "[fe80::1%lo]:5000"),
        ("[ff15::1%1]:5000", "[ff15::1%lo]:5000"),
        // There is no such interface.
        ("[fe80::1%99999]:5000", "[fe80::1%99999]:5000"),
        ("[::ffff:10.0.0.1]:5000", "[::ffff:10.0.0.1]:5000"),
        ("10.0.0.1:5000", "10.0.0.1:5000"),
    ] {
        assert_eq!(told(target).target(), shown);
    }
}
