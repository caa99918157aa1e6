# The original could do this for IPv4 only, until late 2024.
import manycast

with manycast.Sender("239.192.0.71", 5071, interface="lo") as sender:
    sender.hops, sender.loopback, sender.interface = 8, True, "lo"
    print(sender.hops, sender.loopback, sender.interface)
