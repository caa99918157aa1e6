import gc
import select

import pytest

import manycast


def test_question_and_answer(server):
    with manycast.Socket.connect(server.local_address, timeout=10) as client:
        client.send("ping")
        question = server.recv()
        assert question.source == client.local_address
        assert question.local == "127.0.0.1"
        server.answer("pong", question)
        assert client.recv().payload == b"pong"
        assert client.peer_address == server.local_address


def test_port_0_is_any_free_port(server):
    assert server.local_address.port > 0
    assert str(server.local_address.port) in repr(server)


def test_a_refusal_is_told_and_passes():
    with manycast.Socket("127.0.0.1:0") as gone:
        address = gone.local_address
    with manycast.Socket.connect(address, timeout=10) as client:
        client.send("anybody?")
        with pytest.raises(ConnectionRefusedError, match=f"nobody listens on {address}") as raised:
            client.recv()
        assert isinstance(raised.value, manycast.Error)
        with manycast.Socket(address, timeout=10) as back:
            client.send("and now?")
            assert back.recv().payload == b"and now?"


def test_a_connected_socket_hears_its_peer_alone(server):
    with manycast.Socket.connect(server.local_address, timeout=10) as client:
        manycast.send("stranger", client.local_address)
        client.send("x")
        server.answer("peer", server.recv())
        assert client.recv().payload == b"peer"
        assert client.try_recv_many() == []


def test_reconnect_and_disconnect(server):
    with manycast.Socket("127.0.0.1:0", timeout=10) as second:
        with manycast.Socket.connect(server.local_address, timeout=10) as client:
            local = client.local_address
            client.reconnect(second.local_address)
            client.send("second")
            assert second.recv().source == local
            client.disconnect()
            assert client.peer_address is None
            with pytest.raises(manycast.AddressError, match="not connected"):
                client.send("nobody")
            manycast.send("anybody", local)
            assert client.recv().payload == b"anybody"


def test_it_sends_to_anybody(server):
    with manycast.Socket("127.0.0.1:0") as client:
        host, port = server.local_address
        for arguments in ((server.local_address,), (host, port), (f"{host}:{port}",)):
            client.send_to("x", *arguments)
            assert server.recv().source == client.local_address
        assert client.try_send("y", (host, port)) is True
        assert server.recv().payload == b"y"
        assert client.sending_fileno((host, port)) > 0
        with pytest.raises(manycast.AddressError, match="localhost is a name"):
            client.try_send("y", ("localhost", port))
        client.send_to("named", "localhost", port)
        assert server.recv().payload == b"named"


def test_groups_beside_the_host(group):
    with manycast.Socket(("127.0.0.1", 0)) as probe:
        port = probe.local_address.port
    with manycast.Socket(("0.0.0.0", port), timeout=10) as member:
        assert member.join(group.host, interface="lo") is True
        assert member.join(group.host, interface="lo") is False
        assert [joined.group for joined in member.memberships] == [(group.host, port)]
        manycast.send("to the group", f"{group.host}%lo:{port}")
        assert member.recv().destination == (group.host, port)
        manycast.send("to the host", "127.0.0.1", port)
        assert member.recv().destination == ("127.0.0.1", port)
        assert member.leave(group.host) is True
        assert member.memberships == []


def test_its_options_can_be_read_back_and_set(server):
    assert (server.multicast_hops, server.loopback, server.broadcast) == (1, True, False)
    assert server.multicast_interface is None
    server.multicast_hops, server.unicast_hops = 8, 9
    server.loopback, server.broadcast = False, True
    server.multicast_interface = "lo"
    assert (server.multicast_hops, server.unicast_hops) == (8, 9)
    assert (server.loopback, server.broadcast) == (False, True)
    assert server.multicast_interface == "lo"
    server.multicast_interface = None
    assert server.multicast_interface is None
    assert server.receive_buffer >= 65507


def test_a_port_is_not_shared_unless_asked(server):
    with pytest.raises(manycast.SocketError) as raised:
        manycast.Socket(server.local_address)
    assert raised.value.errno == 98
    with manycast.Socket("127.0.0.1:0", share_port=True) as first:
        manycast.Socket(first.local_address, share_port=True).close()


def test_a_group_is_for_a_listener(group):
    with pytest.raises(manycast.AddressError, match="it is a group"):
        manycast.Socket(group)


def test_left_open_it_warns():
    with pytest.warns(ResourceWarning, match="unclosed <Socket on 127.0.0.1:"):
        manycast.Socket("127.0.0.1:0")
        gc.collect()


def test_what_came_before_a_refusal_is_not_lost_with_it():
    for _ in range(32):
        with manycast.Socket("127.0.0.1:0") as peer:
            client = manycast.Socket.connect(peer.local_address, timeout=10)
            client.send("hello")
            question = peer.recv(timeout=10)
            for number in range(4):
                peer.answer(str(number), question)
        with client:
            client.send("anybody?")
            # The kernel tells of the refusal before the datagrams or behind them.
            got, refused = [], False
            while len(got) < 4 or not refused:
                try:
                    got += client.recv_many()
                except ConnectionRefusedError:
                    refused = True
            assert [bytes(datagram) for datagram in got] == [b"0", b"1", b"2", b"3"]
            client.fileno()
            client.send("anybody?")
            assert select.select([client], [], [], 10)[0]
            with pytest.raises(ConnectionRefusedError):
                client.try_recv()
            assert not select.select([client], [], [], 0)[0]
