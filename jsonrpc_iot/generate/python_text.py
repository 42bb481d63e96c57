"""Lines of Python: docstrings, and what stands in brackets."""

import re
from collections.abc import Iterable

from .texts import one_line, prose, wrapped

WIDTH = 100
INDENT = "    "

# Quotes that would end a docstring.
_ENDING = re.compile(r'"{3,}|"+\Z')


def listed(start: str, items: list[str], end: str, indent: str) -> str:
    """Items on one line, or on one each where that is too long."""
    line = f"{start}{', '.join(items)}{end}"
    if len(indent) + len(line) <= WIDTH:
        return line
    inner = "".join(f"{indent}{INDENT}{item},\n" for item in items)
    return f"{start}\n{inner}{indent}{end}"


def entries(title: str, texts: dict[str, str]) -> list[str]:
    """A section of a docstring, of those that have a text."""
    lines = []
    for name, text in texts.items():
        if line := one_line(text):
            first, *rest = wrapped(f"{name}: {line}" if name else line, WIDTH - 16)
            lines += [f"{INDENT}{first}", *(f"{INDENT * 2}{each.strip()}" for each in rest)]
    return ["\n".join([f"{title}:", *lines])] if lines else []


def docstring(paragraphs: Iterable[str], indent: str) -> list[str]:
    """The lines of a docstring; none where there is nothing to say."""
    text = "\n\n".join(filter(None, (prose(each) for each in paragraphs)))
    if not text.strip():
        return []
    safe = _ENDING.sub(lambda quotes: '\\"' * len(quotes[0]), text.strip().replace("\\", "\\\\"))
    lines = wrapped(safe, WIDTH - len(indent) - 4)
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    body = [f"{indent}{line}".rstrip() for line in lines[1:]]
    return [f'{indent}"""{lines[0]}', *body, f'{indent}"""']
