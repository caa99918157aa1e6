# The original joins on whatever the host name maps to, which often is loopback, and leaves nothing on errors.
import manycast

with manycast.MulticastListener("239.192.1.100", 50000, timeout=10) as listener:
    print(listener.recv())
