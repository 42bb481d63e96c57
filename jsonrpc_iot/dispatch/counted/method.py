"""`rpc.stats`: the method by which who may know it learns what a server has done.

A dispatcher has it once one of its servers counts.
"""

from ...errors import MethodNotFound
from ..declare.context import Context
from ..declare.options import Options
from ..handler import Handler
from ..table import Place
from .book import Account
from .stats import Stats

NAME = "rpc.stats"
PERMISSION = "stats"
"""What a caller needs for it, and who reads `/metrics`."""


def _stats(context: Context) -> Stats:
    """Tell what this server has done since it began: calls, errors, times, and what was dropped.

    Args:
        context: the caller's.
    """
    account = context._standing.account
    if not isinstance(account, Account):
        raise MethodNotFound(data={"method": NAME, "hint": "this server does not count"})
    return account.book.tell()


def telling() -> Place:
    """The place of `rpc.stats`."""
    options = Options(requires=PERMISSION, idempotent=True, effect="read")
    return NAME, Handler(NAME, _stats, options), ()
