"""Who may authenticate, so many connections at a time, and who waits for that.

A network that holds most places gives one up for a network that has fewer; its own newcomers wait.
So many devices behind one address come in one after the other, and no address keeps others out.
"""

from math import inf

import anyio

from jsonrpc_iot.protocol.network import Seats

_LULL_SECONDS = 1.0


class Door:
    """The places of connections that are not authenticated yet.

    Args:
        limit: places; as many more connections may wait for one.
    """

    def __init__(self, limit: int) -> None:
        self._inside: Seats[anyio.CancelScope] = Seats(limit, _end)
        self._outside: Seats[anyio.CancelScope] = Seats(limit, _end)
        self._waiting: dict[str, dict[anyio.CancelScope, anyio.Event]] = {}
        self._passed: tuple[str | None, float] = None, -inf  # who came through last, and when
        self._full_at: float | None = None  # since when nobody else may wait
        self._left = anyio.Event()

    def resize(self, limit: int) -> None:
        """Have more places, or fewer; nobody has to go for that."""
        self._inside.limit = self._outside.limit = limit
        self._call_in()

    async def wait_for_room(self) -> None:
        """Wait while many of one network wait already, as long as they come through.

        Else they have nothing to say, and must not keep others waiting.
        """
        while self._outside.are_taken:
            if self._full_at is None:
                self._full_at = anyio.current_time()
            network, passed_at = self._passed
            moved_at = passed_at if network == self._outside.greediest else -inf
            until = max(self._full_at, moved_at) + _LULL_SECONDS
            if anyio.current_time() >= until:
                return
            with anyio.CancelScope(deadline=until):
                await self._left.wait()
        self._full_at = None

    def come(self, connection: anyio.CancelScope, network: str) -> anyio.Event | None:
        """Take a place, or wait for one.

        Args:
            connection: its scope, which is cancelled when another network's needs the place.
            network: where it comes from.

        Returns:
            What is set when its turn has come, `None` where it has to go. Else `leave` follows.
        """
        turn = anyio.Event()
        if self._inside.take(connection, network):
            turn.set()
        elif self._outside.take(connection, network):
            self._waiting.setdefault(network, {})[connection] = turn
        else:
            return None
        return turn

    def leave(self, connection: anyio.CancelScope, network: str, *, passed: bool) -> None:
        """Give the place up to who waits.

        Args:
            connection: that had it, or waited.
            network: where it comes from.
            passed: it is authenticated.
        """
        if passed:
            self._passed = network, anyio.current_time()
        self._outside.leave(connection)
        self._inside.leave(connection)
        queue = self._waiting.get(network, {})
        queue.pop(connection, None)
        if not queue:
            self._waiting.pop(network, None)
        self._call_in()

    def _call_in(self) -> None:
        """Let in who waits, as long as there are places."""
        while self._waiting and not self._inside.are_taken:
            self._call_next()
        self._left.set()
        self._left = anyio.Event()

    def _call_next(self) -> None:
        """Let one in of the network whose turn it is."""
        network = next(iter(self._waiting))
        queue = self._waiting.pop(network)
        connection = next(iter(queue))
        turn = queue.pop(connection)
        if queue:
            self._waiting[network] = queue  # behind the others
        self._outside.leave(connection)
        self._inside.take(connection, network)
        turn.set()


def _end(connection: anyio.CancelScope) -> None:
    connection.cancel()
