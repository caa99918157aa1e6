# The original binds to the group for isolation, and still gets it from other interfaces.
import manycast

with manycast.socket("239.1.1.1%lo:5007") as sock:
    print(sock.recv(65535))
