"""Waiting until something has changed."""

import anyio


class Change:
    """Wakes those who wait for a change; who waits later waits for the next one.

    Whoever waits looks first whether it still has to, and again when it is woken.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None  # made when somebody waits

    async def wait(self) -> None:
        """Wait for the next change."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()

    def notify(self) -> None:
        """Wake all who wait; may be called where nobody does, and outside of an event loop."""
        if self._event is not None:
            self._event.set()
            self._event = None
