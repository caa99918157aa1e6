"""The types of arguments that many calls take, for annotations.

    from manycast import AddressLike, Payload

    def greet(whom: AddressLike, text: Payload) -> None:
        manycast.send(text, whom)
"""

from __future__ import annotations

from typing import Any, Iterable, Tuple, Union

from ._manycast import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

    Payload = Union[str, Buffer]
else:
    #: What may be sent: text, as UTF-8, and whatever is bytes.
    Payload = Union[str, bytes, bytearray, memoryview]

__all__ = ["AddressLike", "InterfaceLike", "InterfacesLike", "Payload"]

#: What may stand where an address is wanted: a text, (host, port), or an Address.
AddressLike = Union[str, Tuple[Any, ...], Address]
#: An interface by name, index or local address.
InterfaceLike = Union[str, int]
#: One interface, several, or "all", which are those that can multicast.
InterfacesLike = Union[str, int, Iterable[InterfaceLike]]
