# The original waits for ever when one reply is lost, and takes a reply from anyone.
import manycast

for answer in manycast.ask(input("Enter message to send : "), "127.0.0.1", 8888, retries=2):
    print("Server reply :", answer.payload.decode())
