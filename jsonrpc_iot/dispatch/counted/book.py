"""Where a server writes down the calls that it answers: by method, and by who asked over what.

Nobody from outside can make it grow: methods are those that are registered, and only so many
principals and codes have a line of their own.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from ...trust.principal import Principal
from ..declare.context import Context
from ..response import Replier
from .stats import BOUNDS, OTHER_CODES, Stats

UNKNOWN = "(unknown)"
INVALID = "(invalid)"
STRANGER = "(stranger)"
UNNAMED = "(unnamed)"
OTHERS = "(others)"

_MOST_PRINCIPALS = 100
_MOST_CODES = 32
_LARGEST_CODE = (1 << 63) - 1  # larger ones have no form in some codecs
_LONGEST_NAME = 100


def add_errors(errors: dict[int, int], code: int, count: int = 1) -> None:
    """Count errors, whose code may have been made up by somebody else."""
    is_new = code not in errors
    if is_new and (len(errors) >= _MOST_CODES or abs(code) > _LARGEST_CODE):
        code = OTHER_CODES
    errors[code] = errors.get(code, 0) + count


class Row:
    """The calls of one method.

    Args:
        name: of the method.

    Attributes:
        name: as above.
        within: see `MethodStats`.
        seconds: see `MethodStats`.
        errors: see `MethodStats`.
    """

    __slots__ = ("errors", "name", "seconds", "within")

    def __init__(self, name: str) -> None:
        self.name = name
        self.within = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.errors: dict[int, int] = {}


class Account:
    """The calls of one principal over one kind of link.

    Args:
        book: in which it stands.
        transport: the scheme.
        name: the principal's.

    Attributes:
        book: as above.
        transport: as above.
        name: as above.
        calls: see `MethodStats`.
        errors: see `MethodStats`.
        mute: calls that failed, of which not even the error fitted the link.
    """

    __slots__ = ("book", "calls", "errors", "mute", "name", "transport")

    def __init__(self, book: "Book", transport: str, name: str) -> None:
        self.book = book
        self.transport = transport
        self.name = name
        self.calls = 0
        self.errors: dict[int, int] = {}
        self.mute = 0


class Book:
    """All calls that one server answers.

    Args:
        tell: gives the numbers of the server.

    Attributes:
        tell: as above.
        rows: by the name of the method.
        accounts: by transport and principal.
    """

    def __init__(self, tell: Callable[[], Stats]) -> None:
        self.tell = tell
        self.rows: dict[str, Row] = {}
        self.accounts: dict[tuple[str, str], Account] = {}
        self._names: set[str] = set()

    def row(self, name: str) -> Row:
        """The row of a name, which is one of few."""
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = Row(name)
        return row

    def account(self, context: Context) -> Account:
        """The account of a caller, which its connection keeps."""
        known: Any = context._standing.account
        if known is None:
            known = context._standing.account = self._open(context)
        account: Account = known
        return account

    def _open(self, context: Context) -> Account:
        transport = "" if context.info is None else context.info.transport
        name = self._name_of(context.principal, context)
        key = transport, name
        if key not in self.accounts:
            self.accounts[key] = Account(self, transport, name)
        return self.accounts[key]

    def _name_of(self, principal: Principal | None, context: Context) -> str:
        if principal is None:
            return STRANGER
        if context.info is not None and principal.name == context.info.peer:
            return UNNAMED  # a hook has told what it may do, and nothing else
        name = principal.name[:_LONGEST_NAME].encode(errors="replace").decode()
        if name not in self._names:
            if len(self._names) >= _MOST_PRINCIPALS:
                return OTHERS
            self._names.add(name)
        return name

    def note(self, row: Row, account: Account, seconds: float, replier: Replier) -> None:
        """Write down one call that is over.

        Args:
            row: of its method.
            account: of its caller.
            seconds: that it took.
            replier: has made an error of it, or none.
        """
        account.calls += 1
        row.seconds += seconds
        row.within[bisect_left(BOUNDS, seconds)] += 1
        if (code := replier.code) is not None:
            replier.code = None
            add_errors(row.errors, code)
            add_errors(account.errors, code)
            account.mute += replier.dropped
            replier.dropped = 0
