# The original's port 0 is any free one, but one has to know where to ask for it.
import manycast

with manycast.Socket("127.0.0.1:0") as socket:
    print(socket.local_address.port > 0)
