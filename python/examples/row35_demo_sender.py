# The original's group 225.0.0.250 is reserved; it has a switch for broadcast, which is just an address.
import time, manycast

manycast.send(repr(time.time()), "239.192.0.250", 8123)
