"""What editors show of a name: its types and its documentation."""

import jedi
import pytest

import stubs

HOVERS = {
    "manycast": "Wherever an address is wanted",
    "manycast.Listener": "Receives the datagrams of groups",
    "manycast.listen(':1').recv": "``timeout`` in seconds takes the place",
    "manycast.listen(':1').recv().hops": "The hop limit",
    "manycast.Socket().join": "Joins a group on the port of this socket",
    "manycast.ask": "Sends a question and returns a list",
    "manycast.value.Finding": "what mends",
    "manycast.doctor().json": "as one JSON object",
    "manycast.TimedOut": "Nothing came in time",
    "manycast.interfaces()[0]": "``mtu``: the largest IP packet",
    "manycast.measure.send": "Sends a stream of numbered datagrams",
    "manycast.tftp.get": "Gets a file from a TFTP server",
    "manycast.send_files": "Sends files and folders to all receivers",
    "manycast.files.Delivery": "A delivery that was received",
    "manycast.browse": "Looks for services on the link",
    "manycast.announce('x', 'y', 1).close": "Says goodbye",
    "manycast.discovery.Service": "Something that a device offers",
    "manycast.send_stream('').write": "Sends bytes, and returns how many",
}


def test_the_stub_has_the_documentation_of_today():
    stub = stubs.STUB.read_text()
    assert stub == stubs.documented(stub), "run: python tests/stubs.py, with the built package"


@pytest.mark.parametrize("expression, text", HOVERS.items())
def test_an_editor_shows_what_a_name_is(expression, text):
    source = f"import manycast\n{expression}"
    (found, *_) = jedi.Script(source).help(2, len(expression))
    assert text in found.docstring()
