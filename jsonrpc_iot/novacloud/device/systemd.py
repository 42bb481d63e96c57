"""Telling systemd that the program runs, over the socket that it names (sd_notify(3)).

Without NOTIFY_SOCKET in the environment nothing happens.
"""

import logging
import os
import socket

logger = logging.getLogger("jsonrpc_iot.novacloud")


class Supervisor:
    """Who wants to know how the program is.

    Attributes:
        watchdog: seconds within which a sign of life has to come, `None` for no such time.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte with which names begin that are in no file system.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog = _watchdog_seconds() if address else None

    def tell(self, state: str) -> None:
        """Send a state such as `READY=1`; a supervisor that cannot be reached is no problem."""
        family = getattr(socket, "AF_UNIX", None)  # Windows has none
        if not self._address or family is None:
            return
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sending:
                sending.setblocking(False)
                sending.sendto(state.encode(), self._address)
        except OSError as error:
            logger.debug("the supervisor was not told %s: %s", state, error)


def _watchdog_seconds() -> float | None:
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        meant = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and meant == os.getpid() else None
