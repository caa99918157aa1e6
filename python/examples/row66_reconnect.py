# The original cannot be connected to another peer, nor disconnected.
import manycast

with manycast.Socket.connect("127.0.0.1", 5064) as socket:
    socket.reconnect("127.0.0.1", 5066)
    socket.send("hello")
    socket.disconnect()
