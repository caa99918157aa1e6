# The original ends for good when anybody sends an empty datagram.
import manycast

with manycast.Socket(":8888") as server:
    for datagram in server:
        server.answer(b"OK..." + datagram.payload, datagram)
