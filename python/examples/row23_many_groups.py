# The original's groups leak into each other, and it does not say to which one a datagram came.
import manycast

for datagram in manycast.listen("239.1.1.1:19900", "239.1.1.2:19900"):
    print(datagram.destination.host, datagram.payload, flush=True)
