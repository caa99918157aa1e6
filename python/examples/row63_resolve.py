# The original refuses names, or blocks the reactor while it looks one up.
import asyncio, manycast.aio

print(*asyncio.run(manycast.aio.resolve("localhost", 8888)))
