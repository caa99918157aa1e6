# The original unpacks the address in its parameters, which only Python 2 could.
import asyncio, manycast.aio

async def echo(socket: manycast.aio.Socket) -> None:
    async for datagram in socket:
        await socket.answer(datagram.payload, datagram)
asyncio.run(echo(manycast.aio.Socket("127.0.0.1", 9999)))
