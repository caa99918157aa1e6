# The original joins on the one interface that the route picks, and fails without a route.
import manycast

with manycast.listen("239.192.51.105", 4242) as listener:
    print("joined", *listener.memberships, flush=True)
    print(listener.recv().payload)
