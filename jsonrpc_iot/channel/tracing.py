"""Who sees the messages that pass: the trace of a program, and a recording."""

from functools import partial

from .contract import Channel, Trace
from .masking import masked
from .recorder import Recorder
from .wrappers import TracedChannel


class Tracing:
    """Shows messages to a trace and a recorder, where there are any.

    Args:
        trace: is shown all messages and frames.
        recorder: gets all messages.
    """

    def __init__(self, trace: Trace | None = None, recorder: Recorder | None = None) -> None:
        self._trace = trace
        self._recorder = recorder

    def watch(self, channel: Channel, url: str = "") -> Channel:
        """A channel whose messages are shown.

        Args:
            channel: carries them.
            url: where the other end is, for the recorder; as the channel says by default.
        """
        if self._recorder is not None:
            info = channel.info
            note = partial(self._recorder.note, url or info.peer, info.codec)
            channel = TracedChannel(channel, note)
        if self._trace is not None:
            channel = TracedChannel(channel, self._trace)
        return channel

    def show(self, direction: str, message: bytes, peer: str) -> None:
        """Show a message in JSON that came by no channel.

        Args:
            direction: as in `Trace`.
            message: as it travels.
            peer: where the other end is.
        """
        if self._trace is not None:
            self._trace(direction, masked(message))
        if self._recorder is not None:
            self._recorder.note(peer, "json", direction, masked(message))
