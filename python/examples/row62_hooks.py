# The original's stopProtocol is forgotten on errors; leaving a with never is.
import contextlib, manycast

with contextlib.ExitStack() as hooks:
    print("started on", hooks.enter_context(manycast.Socket("127.0.0.1:0")).local_address.host)
    hooks.callback(print, "stopped")
