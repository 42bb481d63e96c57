"""What to say of a method that is not there: its name, and what the caller may have meant."""

from heapq import nlargest, nsmallest
from itertools import pairwise

from ..errors import MethodNotFound
from .declare.context import Context
from .table import Entries, Entry, HandlerTable

_LONGEST_NAME = 64
# Strangers must not make us think for long.
_MOST_LIKELY = 64
_MOST_COMPARED = 4
_REMEMBERED = 256


def unknown(name: str, table: HandlerTable, context: Context) -> MethodNotFound:
    """The error that answers a request for a method of that name.

    It tells of methods and notifications that the caller may use, and of no others.

    Args:
        name: what was called.
        table: has no such method.
        context: the caller's.
    """
    data = {"method": name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"}
    entry = table.notifications.get(name)
    if entry is not None and context.permits(entry.handler.options.requires):
        data["hint"] = "it is a notification: use notify"
    elif near := _near(name, table, context):
        data["hint"] = f"did you mean {near}?"
    return MethodNotFound(data=data)


def _near(name: str, table: HandlerTable, context: Context) -> str | None:
    """The name that is nearest; for strangers, who may all use the same, it is looked for once."""
    if len(name) > _LONGEST_NAME:
        return None
    is_stranger = context.principal is None
    if is_stranger and name in (found := table.near):
        return found[name]
    near = _nearest(name, [entry.name for entry in _permitted(table.methods, context)])
    prefix, dot, rest = name.partition(".")
    if near is None and dot and prefix not in table.forwards:
        may_use = context.permits
        there = [each for each, to in table.forwards.items() if may_use(to.options.requires)]
        device = _nearest(prefix, there)
        near = f"{device}.{rest}" if device else None
    if is_stranger:
        if len(found) >= _REMEMBERED:
            found = table.near = {}
        found[name] = near
    return near


def permitted(entries: Entries, context: Context) -> list[Entry]:
    """The entries that a caller may use, in the order of their names."""
    return sorted(_permitted(entries, context), key=lambda entry: entry.name)


def _permitted(entries: Entries, context: Context) -> list[Entry]:
    may_use = context.permits
    return [each for each in tuple(entries.values()) if may_use(each.handler.options.requires)]


def _nearest(name: str, names: list[str]) -> str | None:
    from difflib import get_close_matches

    if without_prefix := min(filter(lambda each: each.endswith(f".{name}"), names), default=None):
        return without_prefix
    pairs = _pairs(name)
    likely = nsmallest(_MOST_LIKELY, names, lambda each: abs(len(each) - len(name)))
    alike = nlargest(_MOST_COMPARED, likely, lambda each: len(pairs & _pairs(each)))
    return next(iter(get_close_matches(name, alike, 1)), None)


def _pairs(name: str) -> set[tuple[str, str]]:
    """The pairs of neighbours in a name: those that two share are quick to count."""
    return set(pairwise(name))
