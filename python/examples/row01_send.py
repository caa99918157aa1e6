# The original prints nothing of what became of it; this tells the way, and that the kernel took it.
import manycast

print(manycast.send("Hello, World!", "127.0.0.1", 5005))
