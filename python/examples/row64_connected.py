# A socket that is connected to a group never hears its answers; connect to hosts.
import manycast

with manycast.Socket.connect("127.0.0.1", 5064) as socket:
    socket.send("hello")
    print(socket.recv(timeout=5).payload)
