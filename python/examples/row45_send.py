# The original never closes its socket.
import manycast

manycast.send("data", "239.192.1.100", 50045, hops=20)
