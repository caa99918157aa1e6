# The wish of 2005 does not say on which interface it goes; the answer does.
import manycast

manycast.send("Hello, world!", "239.192.0.100", 1000)
