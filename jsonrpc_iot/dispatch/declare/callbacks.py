"""Callbacks that are told the same."""

import logging
from collections.abc import Callable

logger = logging.getLogger("jsonrpc_iot.dispatcher")


class Callbacks:
    """Callbacks that are told the same, in the order in which they came."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callable[..., object]] = {}

    def __len__(self) -> int:
        return len(self._callbacks)

    def add(self, callback: Callable[..., object]) -> Callable[[], None]:
        """Have a callback called from now on.

        Returns:
            A function that ends this; to call it again does nothing.
        """
        key = object()
        self._callbacks[key] = callback

        def leave() -> None:
            self._callbacks.pop(key, None)

        return leave

    def tell(self, *values: object, **named: object) -> None:
        """Call all callbacks; one that fails is logged, and the others are called all the same."""
        for callback in tuple(self._callbacks.values()):
            try:
                callback(*values, **named)
            except Exception:
                logger.exception("a listener failed: %r", callback)
