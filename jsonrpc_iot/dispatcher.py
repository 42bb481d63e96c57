"""Methods by name: register them once, then answer messages from any transport."""

from collections.abc import Coroutine
from typing import Any

from .builtin import About
from .context import Context
from .protocol.codec import Codec
from .protocol.jsoncodec import JsonCodec
from .protocol.limits import DEFAULT_LIMITS, Limits
from .protocol.messages import CodecName
from .protocol.msgpackcodec import MsgpackCodec
from .registry import Registry
from .responder import Responder

_CODECS: dict[CodecName, type[JsonCodec | MsgpackCodec]] = {
    codec.name: codec for codec in (JsonCodec, MsgpackCodec)
}


class Dispatcher(Registry):
    """The methods and notifications that a device answers.

    Args:
        debug: tell callers the text and traceback of unforeseen exceptions.
        limits: bounds on the messages that it takes.
        title: what its description calls it.
        version: that of its software, for its description; this package's own by default.
        description: more about it.
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        title: str = "JSON-RPC",
        version: str | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(About(title, version, description))
        self.limits = limits
        self._debug = debug
        self._responders: dict[CodecName, Responder] = {}
        self._json = self.responder("json")
        # What the method below says, with a call less, which is a tenth of the time.
        self.dispatch_sync = self._json.dispatch_sync  # type: ignore[method-assign]

    def responder(self, codec: CodecName) -> Responder:
        """What answers messages in that codec."""
        if codec not in self._responders:
            made: Codec = _CODECS[codec](self.limits)
            self._responders[codec] = Responder(self._table, made, self.limits, debug=self._debug)
        return self._responders[codec]

    def dispatch(
        self, data: bytes, context: Context | None = None
    ) -> Coroutine[Any, Any, bytes | None]:
        """Answer one message in JSON, a batch included; to be awaited.

        Args:
            data: the message.
            context: where it comes from and what its sender may do; nobody and nothing by default.

        Returns:
            The response, `None` where there is nothing to say.
        """
        return self._json.dispatch(data, context)  # a coroutine less is faster

    def dispatch_sync(self, data: bytes, context: Context | None = None) -> bytes | None:
        """Answer one message in JSON where there is no event loop; see `dispatch`.

        A handler that has to wait for something is answered with an internal error.
        """
        return self._json.dispatch_sync(data, context)
