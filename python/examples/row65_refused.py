# The original's connectionRefused depends on many factors; here it comes, and passes.
import manycast

with manycast.Socket.connect("127.0.0.1", 9) as socket:
    socket.send("hello")
    try: socket.recv(timeout=5)
    except ConnectionRefusedError: print("No one listening")
