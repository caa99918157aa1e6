# Port 1000 is a privileged one; without the right, the error says so.
import manycast

with manycast.MulticastListener("239.192.0.100", 1000) as listener:
    print(listener.recv(100))
