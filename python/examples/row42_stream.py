# The original stream of (source, data) cannot be shut down; this one ends with its with.
import manycast

with manycast.listen("239.192.0.42", 5042) as listener:
    for source, payload in ((datagram.source, datagram.payload) for datagram in listener):
        print(source.host, payload, flush=True)
