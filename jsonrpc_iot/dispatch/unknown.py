"""What to say of a method that is not there: its name, and what the caller may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from itertools import pairwise

from ..errors import MethodNotFound
from .declare.context import Context
from .table import Entries, Entry, HandlerTable

_LONGEST_NAME = 64
# Strangers must not make us think for long.
_MOST_LIKELY = 64
_MOST_COMPARED = 4


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
    elif near := _nearest(name, (entry.name for entry in permitted(table.methods, context))):
        data["hint"] = f"did you mean {near}?"
    return MethodNotFound(data=data)


def permitted(entries: Entries, context: Context) -> list[Entry]:
    """The entries that a caller may use, in the order of their names."""
    may_use = context.permits
    found = [each for each in tuple(entries.values()) if may_use(each.handler.options.requires)]
    return sorted(found, key=lambda entry: entry.name)


def _nearest(name: str, names: Iterable[str]) -> str | None:
    if len(name) > _LONGEST_NAME:
        return None
    by_length = sorted(names, key=lambda each: abs(len(each) - len(name)))
    without_prefix = next((each for each in by_length if each.endswith(f".{name}")), None)
    pairs = _pairs(name)
    likely = nlargest(
        _MOST_COMPARED, by_length[:_MOST_LIKELY], lambda each: len(pairs & _pairs(each))
    )
    return without_prefix or next(iter(get_close_matches(name, likely, 1)), None)


def _pairs(name: str) -> set[tuple[str, str]]:
    """The pairs of neighbours in a name: those that two share are quick to count."""
    return set(pairwise(name))
