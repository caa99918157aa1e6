# The original opens a second socket that leaks, and a thread for every datagram.
import socketserver, manycast.server

manycast.server.MulticastServer("239.192.0.9:5009", type("Ok", (socketserver.BaseRequestHandler,), {
    "handle": lambda self: self.request[1].sendto(b"OK..." + self.request[0], self.client_address)
})).serve_forever()
