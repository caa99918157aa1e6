# The original's --port is no number when it is given, and then a TypeError.
import sys, manycast

group, port = sys.argv[1], int(sys.argv[2])
manycast.send(f"from {sys.argv[0]}: group: {group}, port: {port}", group, port, hops=20)
