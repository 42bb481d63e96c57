"""Who goes first where a database has much to do at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_GIVEN_SECONDS = 0.002


class Precedence:
    """What is short and waited for goes before what takes long.

    Reports over millions of values would leave a machine of few cores no time for anything else,
    and each step that a commit takes would wait for Python's lock behind them.
    """

    def __init__(self) -> None:
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Have what takes long make way while the block runs; for the event loop's thread."""
        self._urgent += 1
        try:
            yield
        finally:
            self._urgent -= 1

    def give_way(self) -> int:
        """Rest a moment if something is urgent: for SQLite to call every so often.

        Never for as long as that lasts: on a busy platform no report would ever end.
        """
        if self._urgent:
            time.sleep(_GIVEN_SECONDS)
        return 0
