"""A responder that writes down what it answers.

It is made where somebody counts. The other one has not even a look at whether somebody does.
"""

from bisect import bisect_left
from time import perf_counter
from typing import Any

from ...errors import RpcError
from ...protocol.messages import Invalid, Message
from ...protocol.session import Session
from ..declare.context import Context
from ..one_pass import PlainRequest
from ..plain import PlainReplier, note
from ..responder import Begun, Read, Responder
from ..response import Replier, ReplyTo
from ..run.batch import Batch, run_all
from ..run.call import PendingCall
from ..run.context import CallContext
from ..run.middleware import Call
from ..table import Entry, HandlerTable
from .book import INVALID, UNKNOWN, Account, Book, Row
from .stats import BOUNDS

_FIRST = BOUNDS[0]


class CountedCall(PendingCall):
    """A call that takes time, and is written down when it is over.

    Attributes:
        row: of its method; whoever makes the call sets this and the next two.
        account: of its caller.
        since: when it began, as `perf_counter` counts.
        is_over: it is written down.
    """

    is_over = False
    row: Row
    account: Account
    since: float

    def _succeed(self, value: Any) -> bytes | None:
        replier, row, account = self._replier, self.row, self.account
        replier.code = None
        reply = PendingCall._succeed(self, value)
        self.is_over = True
        seconds = perf_counter() - self.since
        if replier.code is None:  # `note`, written out
            account.calls += 1
            row.seconds += seconds
            row.within[0 if seconds <= _FIRST else bisect_left(BOUNDS, seconds)] += 1
        else:
            account.book.note(row, account, seconds, replier)
        return reply

    def _fail(self, error: Exception) -> bytes | None:
        self._replier.code = None
        reply = PendingCall._fail(self, error)
        self.is_over = True
        seconds = perf_counter() - self.since
        self.account.book.note(self.row, self.account, seconds, self._replier)
        return reply


class _Turn:
    """Whose message is being answered. That takes one turn, in which no other one is begun.

    Args:
        book: where all is written down.
        table: says which names are registered.
        place: the name of the device that answers all of it, empty where there is none.

    Attributes:
        book: as above.
        account: the sender's.
        since: when the turn began, as `perf_counter` counts.
    """

    def __init__(self, book: Book, table: HandlerTable, place: str) -> None:
        self.book = book
        self._table = table
        self._place = place
        self.account = Account(book, "", "")  # until there is a message
        self.since = 0.0

    def begin(self, account: Account, since: float) -> None:
        """Begin the turn of a sender."""
        self.account = account
        self.since = since

    def row(self, method: str) -> Row:
        """The row of a name, which callers may make up."""
        row = self.book.rows.get(method)
        if row is not None:
            return row
        table = self._table
        if method not in table.methods and method not in table.notifications:
            prefix, dot, _ = method.partition(".")
            if "" in table.forwards and prefix != "rpc":
                method = f"{self._place}.*" if self._place else "*"
            else:
                method = f"{prefix}.*" if dot and prefix in table.forwards else UNKNOWN
        return self.book.row(method)


class _CountingReplier(PlainReplier):
    """Writes down plain requests, each by itself.

    Args:
        replier: as in `PlainReplier`.
        turn: of the responder.
    """

    def __init__(self, replier: Replier, turn: _Turn) -> None:
        super().__init__(replier)
        self._turn = turn

    def answer(
        self, request: PlainRequest, limit: int | None = None, sender: Context | None = None
    ) -> bytes | None:
        since, turn, replier = perf_counter(), self._turn, self._replier
        account = turn.account
        replier.code = None
        reply = super().answer(request, limit, sender)
        seconds = perf_counter() - since
        turn.book.note(turn.book.row(request.entry.name), account, seconds, replier)
        return reply


class CountingResponder(Responder):
    """Answers messages, and writes down the calls in them.

    Args:
        plain: answers the same; its decoders, which are large, are shared.
        book: where they are written down.
        place: the name of the device that answers what nobody has registered, if it is at its own
            address.
    """

    def __init__(self, plain: Responder, book: Book, place: str = "") -> None:
        vars(self).update(vars(plain))
        self._turn = turn = _Turn(book, self._table, place)
        self._replier = Replier(self.codec, debug=self._debug)
        self._plain = _CountingReplier(self._replier, turn)
        self._new_call = self._count_call  # type: ignore[assignment]
        self._rows: dict[Entry, Row] = {}  # those of plain requests

    async def dispatch(self, data: bytes, context: Context | None = None) -> bytes | None:
        """Answer one message; see `Dispatcher.dispatch`."""
        limit = None if context is None or context.info is None else context.info.max_message
        begun = self.begin(data, context, limit)
        if isinstance(begun, PendingCall):
            return await begun.run_alone()
        return await run_all(begun) if isinstance(begun, Batch) else begun

    def begin(
        self,
        data: bytes,
        context: Context | None = None,
        limit: int | None = None,
        session: Session | None = None,
        *,
        alone: bool = True,
    ) -> Begun:
        """Begin to answer one message; see `Responder.begin`, of which this is a copy.

        A call more than that would be a tenth of the time of a plain request.
        """
        since, turn = perf_counter(), self._turn
        context = context or self._nobody
        account: Any = context._standing.account or turn.book.account(context)
        if self._table.forwards:
            turn.begin(account, since)
            return self._begin_other(data, context, limit, session, alone)
        try:
            request = self._one_pass.decode(data)
        except Exception as error:  # noqa: BLE001  # a param's own code may run
            turn.begin(account, since)
            return self._begin_refused(data, error, context, limit, session, alone)
        if type(request) is list or not (request.is_quick and request.id):
            turn.begin(account, since)
            return self._begin_decoded(data, request, context, limit, session, alone)
        if session is not None and not note(session, request):
            turn.begin(account, since)
            return self._begin_other(data, context, limit, session, alone)
        try:
            row = self._rows[request.entry]
        except KeyError:
            row = self._rows[request.entry] = turn.row(request.entry.name)
        reply: bytes | None
        try:
            reply = self._encode(request.respond())
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is its answer
            reply = self._plain.fail(request, error, limit, context)
        else:
            if limit is None or len(reply) <= limit:
                account.calls += 1
                seconds = perf_counter() - since
                row.seconds += seconds
                row.within[0 if seconds <= _FIRST else bisect_left(BOUNDS, seconds)] += 1
                return reply
            reply = self._replier.too_large(ReplyTo(request.id, request.jsonrpc, limit), len(reply))
        turn.book.note(row, account, perf_counter() - since, self._replier)
        return reply

    def begin_read(
        self,
        data: bytes,
        message: Read,
        context: Context,
        limit: int | None,
        session: Session | None,
        alone: bool = True,
        *,
        is_special: bool = False,
    ) -> Begun:
        """Begin to answer a message that is read already; see `Responder.begin_read`."""
        self._turn.begin(self._turn.book.account(context), perf_counter())
        begin = super().begin_read
        return begin(data, message, context, limit, session, alone, is_special=is_special)

    def decline(
        self,
        data: bytes,
        message: Read,
        error: RpcError,
        limit: int | None,
        session: Session,
        context: Context,
    ) -> bytes | None:
        """Answer one message with an error instead of running anything; see `Responder.decline`."""
        account = self._turn.book.account(context)
        self._turn.begin(account, perf_counter())
        self._replier.code = None
        reply = super().decline(data, message, error, limit, session, context)
        if isinstance(message, Message) and self._replier.code is not None:
            self._turn.book.note(self._turn.row(str(message.method)), account, 0.0, self._replier)
        return reply

    def _refuse(
        self, invalid: Invalid, limit: int | None, data: bytes = b"", session: Session | None = None
    ) -> bytes | None:
        self._replier.code = None
        reply = super()._refuse(invalid, limit, data, session)
        if self._replier.code is not None:
            turn = self._turn
            turn.book.note(turn.book.row(INVALID), turn.account, 0.0, self._replier)
        return reply

    def _begin_message(
        self, data: bytes, message: Message, context: Context, limit: int | None
    ) -> bytes | PendingCall | None:
        since, account = perf_counter(), self._turn.account
        self._replier.code = None
        begun = super()._begin_message(data, message, context, limit)
        if self._replier.code is not None:  # it did not come to a call
            row = self._turn.row(str(message.method))
            self._turn.book.note(row, account, perf_counter() - since, self._replier)
        return begun

    def _call(self, call: Call, context: CallContext | None, to: ReplyTo) -> bytes | None:
        since, account = perf_counter(), self._turn.account
        self._replier.code = None
        reply = super()._call(call, context, to)
        row = self._turn.row(call.method)
        self._turn.book.note(row, account, perf_counter() - since, self._replier)
        return reply

    def _count_call(self, call: Call, *of: Any) -> PendingCall:
        turn = self._turn
        counted = CountedCall(call, *of)
        counted.row = turn.row(call.method)
        counted.account = turn.account
        counted.since = turn.since
        return counted
