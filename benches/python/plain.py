"""Python's socket module: `plain.py send|receive ADDRESS PORT INTERFACE SIZE SECONDS`."""

import json
import os
import socket
import sys
import threading
import time

role, address, port, interface, size, seconds = sys.argv[1:]
to = (address, int(port))
group = 224 <= int(address.split(".")[0]) <= 239
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
count = 0
ready = time.process_time()
first = last = 0


def end_with_standard_input():
    sys.stdin.read()
    tell(last - first)
    os._exit(0)


def tell(seconds):
    cpu = time.process_time() - ready
    print(json.dumps({"datagrams": count, "seconds": seconds, "cpu": cpu}), flush=True)


if role == "send":
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
    sock.connect(to)
    payload = bytes(int(size))
    begin = time.monotonic()
    end = begin + float(seconds)
    while time.monotonic() < end:
        for _ in range(64):
            sock.send(payload)
        count += 64
    tell(time.monotonic() - begin)
else:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(to)
    if group:
        membership = socket.inet_aton(address) + socket.inet_aton(interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    print("ready", flush=True)
    buffer = bytearray(1 << 16)
    sock.recv_into(buffer)
    count = 1
    first = last = time.monotonic()
    # To take the time of each would cost it a part of its own.
    while True:
        for _ in range(64):
            sock.recv_into(buffer)
            count += 1
        last = time.monotonic()
