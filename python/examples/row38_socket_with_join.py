# The original uses names that it never defined, and its example joins on loopback.
import manycast

with manycast.Socket(":5038", share_port=True) as socket:
    socket.join("239.192.0.38", interface="lo")
    print(socket.recv().payload)
