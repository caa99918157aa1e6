use super::super::netlink::Request;
use super::{ROUTE_HEADER, RTA_VIA, Route, route};

/// An answer of this type by interface 4.
fn answer(kind: u8) -> Request {
    let mut header = [0; ROUTE_HEADER];
    header[7] = kind;
    Request::new(libc::RTM_NEWROUTE, &header).with(libc::RTA_OIF, &4_u32.to_ne_bytes())
}

#[test]
fn a_route_is_read() {
    let plain = Route {
        interface: 4,
        source: None,
        gateway: None,
    };
    assert_eq!(route(answer(libc::RTN_UNICAST).message()), Some(plain));
    let unspecified = answer(libc::RTN_MULTICAST).with(libc::RTA_PREFSRC, &[0; 4]);
    assert_eq!(route(unspecified.message()), Some(plain));

    let mut via = libc::AF_INET6.to_ne_bytes()[..2].to_vec();
    via.extend([0xfe; 16]);
    let beyond = answer(libc::RTN_UNICAST)
        .with(libc::RTA_PREFSRC, &[10, 0, 0, 1])
        .with(RTA_VIA, &via);
    let wanted = Route {
        source: Some([10, 0, 0, 1].into()),
        gateway: Some([0xfe; 16].into()),
        ..plain
    };
    assert_eq!(route(beyond.message()), Some(wanted));
}

#[test]
fn a_route_that_leads_nowhere_is_none() {
    for kind in [
        libc::RTN_BLACKHOLE,
        libc::RTN_UNREACHABLE,
        libc::RTN_PROHIBIT,
        libc::RTN_THROW,
    ] {
        assert_eq!(route(answer(kind).message()), None, "{kind}");
    }
    let no_interface = Request::new(libc::RTM_NEWROUTE, &[0; ROUTE_HEADER]);
    assert_eq!(route(no_interface.message()), None);
    assert_eq!(
        route(Request::new(libc::RTM_NEWROUTE, &[0; 5]).message()),
        None
    );
}
