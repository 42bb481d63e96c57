"""Callbacks that are told the same."""

import logging
from collections.abc import Callable

from ...errors import UsageError

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
            except Exception as error:  # noqa: BLE001  # whatever a callback does
                self._note(error, callback, values)

    def _note(
        self, error: Exception, callback: Callable[..., object], values: tuple[object, ...]
    ) -> None:
        logger.error("a listener failed: %r", callback, exc_info=error)


class Audience(Callbacks):
    """Who is told of events, by their names and params."""

    def _note(
        self, error: Exception, callback: Callable[..., object], values: tuple[object, ...]
    ) -> None:
        if isinstance(error, UsageError):  # the fault of the params, and no listener's
            logger.error("%s cannot be sent: %s", values[0], error)
        else:
            super()._note(error, callback, values)
