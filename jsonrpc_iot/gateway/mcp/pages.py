"""Results as text: large ones are cut into pages, which are kept for a while."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from ...protocol.text import escape_json

PAGE = 20_000
"""Characters of one page, which are some 7,000 tokens to a model."""

_MOST_RESULTS = 64
_MOST_CHARACTERS = 32 << 20  # of all results that are kept


def pages_of(result: bytes) -> list[str]:
    """A result in JSON as texts of at most about `PAGE` characters; each of a list is a list."""
    text = escape_json(result.decode())
    if len(text) <= PAGE:
        return [text]
    try:
        items = msgspec.json.decode(result, type=list[Raw])
    except msgspec.ValidationError:
        return _cut(text)
    pages: list[str] = []
    page: list[str] = []
    room = PAGE
    for item in items:
        each = escape_json(bytes(item).decode())
        if len(each) + 2 > room and page:
            pages.append(f"[{', '.join(page)}]")
            page, room = [], PAGE
        if len(each) > PAGE:
            pages += _cut(each)
            continue
        page.append(each)
        room -= len(each) + 2
    if page:
        pages.append(f"[{', '.join(page)}]")
    return pages


def _cut(text: str) -> list[str]:
    return [text[begin : begin + PAGE] for begin in range(0, len(text), PAGE)]


class Pages:
    """Keeps the pages of large results, the newest of them, for who knows their names."""

    def __init__(self) -> None:
        self._results: OrderedDict[str, Sequence[str]] = OrderedDict()
        self._characters = 0

    def first(self, pages: Sequence[str]) -> str:
        """The first page of a result, and how to get the others, which are kept."""
        if len(pages) == 1:
            return pages[0]
        name = secrets.token_urlsafe(9)
        self._results[name] = pages
        self._characters += _size(pages)
        while self._characters > _MOST_CHARACTERS or len(self._results) > _MOST_RESULTS:
            if len(self._results) == 1:
                break
            _, oldest = self._results.popitem(last=False)
            self._characters -= _size(oldest)
        return _page(name, pages, 1)

    def read(self, name: str, number: int) -> str | None:
        """A page of a result, counted from 1; `None` where there is none, or no more."""
        pages = self._results.get(name, ())
        return _page(name, pages, number) if 0 < number <= len(pages) else None


def _size(pages: Sequence[str]) -> int:
    return sum(map(len, pages))


def _page(name: str, pages: Sequence[str], number: int) -> str:
    where = f"page {number} of {len(pages)}"
    if number == len(pages):
        return f"{pages[number - 1]}\n\n[This was {where}, the last one.]"
    call = f'read_more with {{"result": "{name}", "page": {number + 1}}}'
    return f"{pages[number - 1]}\n\n[This is {where}. The next one: call {call}.]"
