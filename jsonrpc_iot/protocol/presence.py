"""How the other end shows that it is where it seems to be: it answers what only it can have heard.

Source: the trust page, section 4. It does no I/O.
"""

import secrets
from collections.abc import Callable, Container

from .codec.codec import Codec, Jsonrpc
from .messages import Request

_FIRST_ID = 3 << 29  # ids of calls begin below 2^30, and small devices know none from 2^31
_IDS = 1 << 29


class Presence:
    """Hears the answer to a request with an id that nobody can guess.

    Args:
        on_shown: is called with each such answer.
        trusts_calls: the answer to any call will do, since nobody else can know their ids.

    Attributes:
        question: the request, empty before there is one.
    """

    __slots__ = ("_id", "_on_shown", "_trusts_calls", "question")

    def __init__(self, on_shown: Callable[[], object], *, trusts_calls: bool) -> None:
        self._on_shown = on_shown
        self._trusts_calls = trusts_calls
        self._id: int | None = None
        self.question = b""

    def ask(self, codec: Codec, jsonrpc: Jsonrpc) -> None:
        """Make a new question.

        Args:
            codec: writes it.
            jsonrpc: the member of that name.
        """
        self._id = _FIRST_ID + secrets.randbelow(_IDS)
        self.question = codec.encode_request(Request("rpc.ping", jsonrpc, self._id))

    def hear(self, id: object, open_ids: Container[int]) -> bool:
        """Note a response.

        Args:
            id: the response's.
            open_ids: of our calls.

        Returns:
            Whether it is the answer to the question, which is for nobody else.
        """
        if type(id) is not int:
            return False
        is_answer = id == self._id
        if is_answer or (self._trusts_calls and id in open_ids):
            self._on_shown()
        return is_answer
