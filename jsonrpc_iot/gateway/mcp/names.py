"""What methods and their params are called where assistants call tools.

Their models take letters, digits, `_` and `-` alone, and 64 of these at most.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

LONGEST = 64
_MARK = 8  # characters that tell names apart which would be the same

_OTHERS = re.compile(r"[^A-Za-z0-9_-]")


def safe_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Names that assistants can use, by those that they stand for.

    A dot becomes `_`. Whoever would have the same name as another one, is too long or has
    characters that are lost, gets a few of its digest behind it: a name never comes to stand for
    something else because others come or go.

    Args:
        names: as devices have them.
        taken: that none may get.
    """
    plain = {name: _OTHERS.sub("_", name) for name in names}
    count = Counter([*plain.values(), *taken])
    return {
        name: short
        if count[short] == 1 and len(short) <= LONGEST and _is_told(name)
        else _marked(name, short)
        for name, short in plain.items()
    }


def _is_told(name: str) -> bool:
    return bool(name) and not _OTHERS.search(name.replace(".", "_"))


def _marked(name: str, short: str) -> str:
    digest = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:_MARK]
    return f"{short[: LONGEST - _MARK - 1]}_{digest}"
