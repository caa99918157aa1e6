# The original joins on one interface, and takes other groups on its port for its own.
import manycast

with manycast.listen("239.1.1.1", 5004) as listener:
    print(listener.recv().payload.decode())
