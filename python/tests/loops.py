"""Event loops of each kind, for the tests of asyncio."""

import asyncio

import pytest


class turn:
    """Awaited, it lets the event loop have one turn."""

    def __await__(self):
        yield


LOOPS = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.fixture(params=LOOPS, autouse=True)
def run(request):
    """Runs a coroutine on a loop of each kind."""
    loop = LOOPS[request.param]()
    failures = []
    loop.set_exception_handler(lambda loop, context: failures.append(context))
    run.failures = failures
    yield lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, 30))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert not failures
