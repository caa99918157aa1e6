# The original fails when it joins a group twice on one socket.
import manycast

with manycast.listen("239.192.0.70", 5070) as listener:
    print(listener.join("239.192.0.71", 5070), listener.join("239.192.0.71", 5070))
    print(listener.leave("239.192.0.71", 5070))
