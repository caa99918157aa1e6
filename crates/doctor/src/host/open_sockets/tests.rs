use std::net::UdpSocket;

use super::open_sockets;

#[test]
fn an_own_socket_is_found_with_what_it_is_bound_to() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connected = UdpSocket::bind("[::1]:0").unwrap();
    connected.connect("[::1]:9").unwrap();

    let listed = open_sockets().unwrap();
    let find = |socket: &UdpSocket| {
        let local = socket.local_addr().unwrap();
        listed.iter().find(|found| found.local == local).unwrap()
    };
    let found = find(&socket);
    assert_eq!((found.peer, found.device), (None, None));
    assert_eq!((found.drops, found.multicast_all), (Some(0), Some(true)));
    assert_eq!(found.loopback, Some(true));
    assert!(found.receive_buffer.unwrap() > 0 && found.inode > 0);
    assert_eq!(find(&connected).peer, Some("[::1]:9".parse().unwrap()));
}

#[test]
fn a_socket_can_be_asked_for_its_memberships_by_its_owner_s_number() {
    use manycast_net::find_interface;

    use crate::{ForeignSocket, socket_owners};
    use manycast_types::SourceFilter;

    let config = manycast_net::SocketConfig::default();
    let socket = manycast_net::Socket::bind("0.0.0.0:0".parse().unwrap(), &config).unwrap();
    let lo = find_interface(&"lo".parse().unwrap()).unwrap().index;
    let source = "127.0.0.1".parse().unwrap();
    let filter = SourceFilter::Include(vec![source]);
    let (group, other) = ("232.1.1.1".parse().unwrap(), "232.1.1.2".parse().unwrap());
    socket.join(group, lo, &filter).unwrap();

    let local = socket.local_addr().unwrap();
    let listed = open_sockets().unwrap();
    let inode = listed
        .iter()
        .find(|found| found.local == local)
        .unwrap()
        .inode;
    let owners = socket_owners();
    let owner = owners[&inode]
        .iter()
        .find(|owner| owner.pid == std::process::id());
    let foreign = ForeignSocket::open(owner.unwrap()).unwrap();
    assert_eq!(foreign.membership(group, lo), Some(filter));
    assert_eq!(foreign.membership(group, lo + 1), None);
    assert_eq!(foreign.membership(other, lo), None);
}
