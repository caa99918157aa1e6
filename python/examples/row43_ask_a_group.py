# The original stops at the first time-out of one socket; here all who answer are listed.
import manycast

for answer in manycast.ask("very important data", "239.192.0.43", 10000, timeout=0.5):
    print(answer.source.host, answer.payload)
