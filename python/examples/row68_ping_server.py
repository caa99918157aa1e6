# The original answers only on the interface that the route picks.
import manycast

with manycast.Socket(":8005", share_port=True) as server:
    server.join("239.192.0.250")
    for ping in server:
        server.answer("Server: Pong", ping)
