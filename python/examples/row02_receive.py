# The original cuts datagrams at 1024 bytes, silently, and drops the sender's address.
import manycast

for datagram in manycast.Socket("127.0.0.1", 5005):
    print(f"received message: {datagram.payload!r} from {datagram.source}", flush=True)
