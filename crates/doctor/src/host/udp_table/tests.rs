use std::net::UdpSocket;

use super::{list, sockets};
use crate::open_sockets;

#[test]
fn both_lists_tell_the_same_of_a_socket() {
    let mine = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connected = UdpSocket::bind("[::1]:0").unwrap();
    connected.connect("[::1]:9").unwrap();
    let (table, diagnosed) = (list().unwrap(), open_sockets().unwrap());
    for socket in [mine, connected] {
        let local = socket.local_addr().unwrap();
        let find = |list: &[crate::OpenSocket]| {
            let found = list.iter().find(|found| found.local == local).unwrap();
            (
                found.peer,
                found.inode,
                found.user,
                found.waiting,
                found.drops,
            )
        };
        assert_eq!(find(&table), find(&diagnosed), "{local}");
    }
}

#[test]
fn what_is_no_line_of_the_table_is_passed_over() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
        garbage\n  1: 0100007F:1388 00000000:0000\n  1: XX00007F:1388 0:0 07 0:0 00:0 0 0 0 1 2 0 0\n";
    assert!(sockets(table).is_empty());
    assert!(sockets("").is_empty());
}
