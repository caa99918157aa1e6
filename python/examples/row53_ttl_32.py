# The original's 224.1.1.1 is in a reserved range, and hop limits have no bands: the address has a scope.
import manycast

manycast.send("robot", "239.1.1.1", 5053, hops=32)
