"""What the platform answers when it cannot do what it was asked; codes as in `management`.

NovaError
├── UnknownDevice   2001
├── UnknownKey      2002    no such sensor or actuator
├── AlreadyExists   2003
├── DeviceDisabled  2004
└── NotQueued       2005
StoreFailed         -32000
├── StoreDamaged            what is asked for is on damaged pages
├── Unforeseen              a fault of the program is in the way of what is asked for
├── StoreInUse              another platform has the file
├── NameTaken               a node of that name is there
└── LeaseOver               the others take this node for dead
"""

import logging

from jsonrpc_iot import RpcError, ServerError

logger = logging.getLogger("jsonrpc_iot.novacloud")


class NovaError(RpcError):
    """An error of the platform."""

    message = "NovaCloud error"


class UnknownDevice(NovaError):
    """No device has that id."""

    code = 2001
    message = "Unknown device"


class UnknownKey(NovaError):
    """The device has no such sensor or actuator; `data` names it."""

    code = 2002
    message = "Unknown sensor or actuator"


class AlreadyExists(NovaError):
    """The device, sensor or actuator is there already."""

    code = 2003
    message = "Already exists"


class DeviceDisabled(NovaError):
    """The device is disabled and takes no commands."""

    code = 2004
    message = "Device disabled"


class NotQueued(NovaError):
    """The command does not wait any more, or is not known; `data` has its status, if any."""

    code = 2005
    message = "The command is not queued"


class StoreFailed(ServerError):
    """The database refused to read or write; the text says why. What was to be stored is not."""

    message = "The store failed"


class StoreDamaged(StoreFailed):
    """What is to be read or changed is on damaged pages of the database; other rows may be well."""


class Unforeseen(StoreFailed):
    """A fault of the program is in the way of what was asked for; other things may be well."""


CONFINED = StoreDamaged, Unforeseen
"""What has failed because of what was asked for: the rest of it may go by itself."""


class StoreInUse(StoreFailed):
    """Another platform, perhaps in another process, has the database open."""


class NameTaken(StoreFailed):
    """A node of that name is alive, or was until lately.

    Args:
        name: which.
        until: when its lease runs out, by the record's clock.
    """

    def __init__(self, name: str, until: float) -> None:
        super().__init__(f"a node called {name!r} is there already: give each node its own name")
        self.until = until


class LeaseOver(StoreFailed):
    """The node did not renew its lease in time, so the others take it for dead."""

    message = "The node's lease is over"


def unforeseen(error: Exception) -> Unforeseen:
    """Log an error that nobody has thought of; returns the one for who asked."""
    logger.error("a fault of the program: %r", error, exc_info=error)
    return Unforeseen(f"this should not have happened: {type(error).__name__}")
