"""One cancel scope for the calls that run in a task one after another."""

from math import inf
from types import TracebackType
from typing import Self

import anyio


class Shelter:
    """Keeps a cancel scope open in the task that makes it, for whatever is done there next.

    To make, enter and leave a scope takes as long as the rest of a small call. So `with
    shelter(deadline) as scope:` leaves the scope open if nobody has cancelled it, and the next such
    block has it again. Whoever has the scope must forget it when the block ends.
    """

    __slots__ = ("_deadline", "_scope")

    def __init__(self) -> None:
        self._deadline = inf
        self._scope: anyio.CancelScope | None = anyio.CancelScope()
        self._scope.__enter__()

    @property
    def is_closed(self) -> bool:
        """Whether the scope was cancelled, or an error has left it; there is no block any more."""
        return self._scope is None

    def __call__(self, deadline: float) -> Self:
        """Have the next block cancelled then, as the event loop counts."""
        self._deadline = deadline
        return self

    def __enter__(self) -> anyio.CancelScope:
        assert self._scope is not None
        if self._deadline != inf:
            self._scope.deadline = self._deadline
        return self._scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        scope = self._scope
        if scope is None:
            return False
        if error is None and not scope.cancel_called:
            if self._deadline != inf:
                scope.deadline = inf
            return False
        return self.close(kind, error, traceback)

    def close(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> bool:
        """Leave the scope, if it is still open, as its `__exit__` does."""
        scope, self._scope = self._scope, None
        return scope is not None and bool(scope.__exit__(kind, error, traceback))
