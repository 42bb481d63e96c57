"""The session that suits a channel."""

import random
import time
from collections.abc import Callable

from ..channel.info import ChannelInfo
from ..dispatch.dispatcher import Dispatcher
from ..protocol.messages import Dialect, Message
from ..protocol.session import Session


def new_session(
    dispatcher: Dispatcher,
    info: ChannelInfo,
    *,
    dialect: Dialect = "iot",
    extensions: bool | None = None,
    on_notification: Callable[[Message], object] | None = None,
) -> Session:
    """A session for a channel.

    Args:
        dispatcher: knows the channel's codec.
        info: the facts about the channel.
        dialect: as in `Session`.
        extensions: as in `Session`.
        on_notification: as in `Session`.
    """
    is_random = info.has_echoes or info.is_shared or not info.reliable
    return Session(
        dispatcher.responder(info.codec).codec,
        retry_seconds=None if info.reliable else info.retry_seconds,
        retry_seconds_per_byte=info.retry_seconds_per_byte,
        first_id=random.randint(1, 1 << 30) if is_random else 1,
        shared=info.is_shared,
        echoes=info.has_echoes,
        clock=time.monotonic,
        dialect=dialect,
        extensions=extensions,
        on_notification=on_notification,
    )
