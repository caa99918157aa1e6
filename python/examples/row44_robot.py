# The original fails where there is no route to groups.
import manycast

print(manycast.send(b"robot", "239.192.0.100", 1044, hops=2))
