# The original was for Linux and Python 2; it is the same three arguments.
import manycast

receiver = manycast.MulticastUDPReceiver("lo", "238.0.0.1", 1234)
print(receiver.read())
receiver.close()
