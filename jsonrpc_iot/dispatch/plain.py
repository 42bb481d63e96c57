"""Requests that nothing stands in the way of: from a handler's value to the reply."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import UNSET

from ..protocol.messages import Result, Result2
from ..protocol.session import Session
from .declare.context import Context
from .one_pass import PlainRequest
from .response import Replier, ReplyTo
from .run.batch import Batch


class PlainReplier:
    """Answers plain requests.

    Args:
        replier: makes the replies that are not ordinary.
    """

    def __init__(self, replier: Replier) -> None:
        self._replier = replier
        self._encode = replier.codec.encode
        self._nan = replier.codec.nan

    def answer(
        self, request: PlainRequest, limit: int | None = None, sender: Context | None = None
    ) -> bytes | None:
        """Call the handler of a request, and answer; there is no answer to a notification.

        Args:
            request: to a handler that needs nothing but the params.
            limit: bytes that the response may have, `None` for any number.
            sender: who asked, for the log.
        """
        try:
            response = request.respond()
            if request.id is UNSET:
                return None
            reply = self._encode(response)
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            return self.fail(request, error, limit, sender)
        if (limit is None or len(reply) <= limit) and not (
            request.may_hold_nan and reply.find(self._nan) >= 0
        ):
            return reply
        return self._check(request, response, reply, limit)

    def answer_all(
        self, requests: Sequence[PlainRequest], limit: int | None, sender: Context | None
    ) -> bytes | None:
        """Answer the requests and notifications of a batch; see `answer`."""
        replies = [self.answer(request, limit, sender) for request in requests]
        if limit is None:
            given = [reply for reply in replies if reply is not None]
            return self._replier.codec.join(given) if given else None
        batch = Batch(self._replier, limit)
        for request, reply in zip(requests, replies, strict=True):
            batch.add(reply, partial(_reply_to, request, limit))
        return batch.join()

    def succeed(self, request: PlainRequest, value: Any, limit: int | None) -> bytes | None:
        """The response that carries a value, or the error that takes its place."""
        id, jsonrpc = request.id, request.jsonrpc
        if id is UNSET:
            return None
        response = Result(id, value) if jsonrpc is UNSET else Result2("2.0", id, value)
        try:
            reply = self._encode(response)
        except Exception as error:  # noqa: BLE001  # a value's own code may run
            return self.fail(request, error, limit)
        return self._check(request, response, reply, limit)

    def _check(
        self, request: PlainRequest, response: Result | Result2, reply: bytes, limit: int | None
    ) -> bytes | None:
        """The response in bytes, if it may leave so."""
        is_doubtful = request.may_hold_nan and reply.find(self._nan) >= 0
        if not is_doubtful and (limit is None or len(reply) <= limit):
            return reply
        to, value = _reply_to(request, limit), response.result
        return self._replier.result(to, request.entry.name, value, may_hold_nan=is_doubtful)

    def fail(
        self,
        request: PlainRequest,
        error: Exception,
        limit: int | None = None,
        sender: Context | None = None,
    ) -> bytes | None:
        """The response that an exception becomes."""
        return self._replier.error(_reply_to(request, limit, sender), request.entry.name, error)


def _reply_to(request: PlainRequest, limit: int | None, sender: Context | None = None) -> ReplyTo:
    return ReplyTo(request.id, request.jsonrpc, limit, sender)


def note(session: Session, request: PlainRequest) -> bool:
    """Have a session note what a plain request tells; says whether that was all it wants of it."""
    noise = session.noise
    if noise.echoes is not None or (request.id is UNSET and session.on_notification):
        return False
    noise.suspects = None
    session.jsonrpc = request.jsonrpc
    if request.timeout is not UNSET:
        session.extensions = True
    return True
