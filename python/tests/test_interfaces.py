import ipaddress
import socket

import manycast


def test_they_are_those_of_the_system():
    assert {i.name: i.index for i in manycast.interfaces()} == {
        name: index for index, name in socket.if_nameindex()
    }


def test_loopback():
    lo = manycast.ifconfig()["lo"]
    assert (lo.index, lo.name, lo.kind, lo.loopback) == (1, "lo", "loopback", True)
    assert ipaddress.ip_interface("127.0.0.1/8") in lo.networks
    assert (lo.up, lo.running, lo.can_multicast, lo.multicast) == (True, True, True, False)
    assert (lo.point_to_point, lo.broadcast, lo.promiscuous, lo.all_multicast) == (False,) * 4
    assert lo.mtu >= 1500 and lo.mac is None and lo.alternative_names == ()
    assert lo == manycast.ifconfig()["lo"]
    assert repr(lo).startswith("<Interface 1 lo up 127.0.0.1")
