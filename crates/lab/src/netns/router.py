"""Forwards multicast groups in the kernel: reads lines "GROUP FROM TO THRESHOLD", confirms each.

The structures are those of <linux/mroute.h> and <linux/mroute6.h>.
"""

import ipaddress
import socket
import struct
import sys

INIT, ADD_VIF, ADD_MFC = 200, 202, 204
VIFF_USE_IFINDEX = 8


class Router:
    """One family's routing socket, with the interfaces that it knows."""

    def __init__(self, family, raw_protocol, level):
        self.level = level
        self.socket = socket.socket(family, socket.SOCK_RAW, raw_protocol)
        self.socket.setsockopt(level, INIT, 1)
        self.interfaces = {}
        self.members = []

    def interface(self, name):
        """The number of an interface in the routing table, in which it is entered if need be."""
        if name not in self.interfaces:
            number = self.interfaces[name] = len(self.interfaces)
            self.socket.setsockopt(self.level, ADD_VIF, self.pack_interface(number, name))
        return self.interfaces[name]

    def forward(self, group, source, target, threshold):
        numbers = self.interface(source), self.interface(target)
        route = self.pack_route(group, *numbers, threshold)
        self.socket.setsockopt(self.level, ADD_MFC, route)
        # A socket each, since the kernel limits the memberships of one.
        member = socket.socket(self.socket.family, socket.SOCK_DGRAM)
        self.join(member, group, socket.if_nametoindex(source))
        self.members.append(member)


class Router4(Router):
    def __init__(self):
        super().__init__(socket.AF_INET, socket.IPPROTO_IGMP, socket.IPPROTO_IP)

    def pack_interface(self, number, name):
        index = socket.if_nametoindex(name)
        return struct.pack("=HBBIi4x", number, VIFF_USE_IFINDEX, 1, 0, index)

    def pack_route(self, group, source, target, threshold):
        limits = bytearray(32)
        limits[source] = limits[target] = threshold
        return struct.pack("@4s4sH32sIIIi", bytes(4), group.packed, source, bytes(limits), 0, 0, 0, 0)

    def join(self, member, group, index):
        request = struct.pack("=4s4si", group.packed, bytes(4), index)
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


class Router6(Router):
    def __init__(self):
        super().__init__(socket.AF_INET6, socket.IPPROTO_ICMPV6, socket.IPPROTO_IPV6)

    def pack_interface(self, number, name):
        return struct.pack("@HBBHI", number, 0, 1, socket.if_nametoindex(name), 0)

    def pack_route(self, group, source, target, _threshold):
        """The kernel knows no threshold but 1 for IPv6."""

        def address(packed):
            return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, packed, 0)

        targets = 1 << source | 1 << target
        return struct.pack(
            "@28s28sHI28x", address(bytes(16)), address(group.packed), source, targets
        )

    def join(self, member, group, index):
        request = struct.pack("=16si", group.packed, index)
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


routers = {}
for line in sys.stdin:
    text, source, target, threshold = line.split()
    group = ipaddress.ip_address(text)
    if group.version not in routers:
        routers[group.version] = Router4() if group.version == 4 else Router6()
    routers[group.version].forward(group, source, target, int(threshold))
    print("forwarding", group)
