# The original packs str() of an ip_mreq, a TypeError; others pack 4 bytes too few and join another group.
import manycast

with manycast.MulticastListener("239.1.1.1", 55555, interface="127.0.0.1") as listener:
    print(listener.recv())
