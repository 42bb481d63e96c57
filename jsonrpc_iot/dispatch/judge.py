"""Who may call what: finds what answers a method, for a caller who may use it."""

from ..trust import audit
from .declare.context import Context
from .response import NOT_RECEIVED
from .table import Entry, HandlerTable
from .unknown import unknown

FOR_STRANGERS = frozenset({"rpc.ping", "rpc.pair", "rpc.authenticate"})
"""What may be called also where strangers may do nothing: by these they cease to be strangers."""


def find(method: str, is_request: bool, table: HandlerTable, context: Context) -> Entry:
    """What answers a request or notification.

    Args:
        method: its name.
        is_request: it is to be answered.
        table: has the handlers.
        context: the caller's.

    Raises:
        MethodNotFound: nothing does.
        Unauthorized: the caller is a stranger.
        Forbidden: the caller lacks the permission.
        RpcError: the caller may not do anything, for that reason.
    """
    refusal = context._standing.refusal
    if refusal is not None and (not is_request or method not in FOR_STRANGERS):
        audit.refused_stranger(context._peer, method)
        raise refusal.with_traceback(None)  # it is raised again and again
    entry = table.entry(method, is_request=is_request)
    if entry is None and not is_request:  # nobody would read what was meant
        raise NOT_RECEIVED.with_traceback(None)
    if entry is None:
        raise unknown(method, table, context)
    if entry.handler.options.requires is not None:
        context._demand(entry.handler.options.requires, method)
    return entry
