# The original needs another package, and knows only the first address of an interface.
import manycast

for name, interface in manycast.ifconfig().items():
    print(name, interface.addresses, "multicast" if interface.can_multicast else "-", interface.up)
