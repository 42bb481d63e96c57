"""What has a responder for each codec: a dispatcher, or what counts the calls that it answers."""

from typing import Protocol

from ..protocol.messages import CodecName
from .responder import Responder


class Answers(Protocol):
    """Answers messages."""

    def responder(self, codec: CodecName) -> Responder:
        """What answers messages in that codec."""
