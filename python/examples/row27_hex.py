# The original prints the hex of a datagram only after an error, and then crashes.
import manycast

for datagram in manycast.listen("239.1.1.1", 5008):
    print(datagram.payload.hex(" "), flush=True)
