# The original receives its own question too, and takes it for an answer.
import manycast

for pong in manycast.ask("Client: Ping", "239.192.0.250", 8005, timeout=0.5):
    print(pong.payload)
