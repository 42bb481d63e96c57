"""What of a server is open to whom, and the warning that it is."""

import logging
from collections.abc import Iterable, Sequence

from ..channel.contract import Listener
from ..channel.door import Door
from ..channel.url import Url
from ..dispatch.dispatcher import Dispatcher
from ..trust.principal import Principal

logger = logging.getLogger("jsonrpc_iot.server")

_LOCAL = ("memory", "pipe", "unix")
_PROOFS = ("ca", "psk", "token")


def everybody_at(where: Iterable[object], dispatcher: Dispatcher) -> Principal | None:
    """Who everybody is who comes to these URLs; `None` for strangers.

    Args:
        where: URLs, and channels. Where one has a key of its own, nobody else is anybody.
        dispatcher: says who everybody is otherwise.
    """
    return None if has_key(where) else dispatcher.everybody


def has_key(where: Iterable[object]) -> bool:
    """Whether one of the URLs has a key of its own: who has that may do all."""
    return any("psk" in Url.parse(each).options for each in where if isinstance(each, str))


def warn_if_open(where: Iterable[object], listeners: Sequence[Listener], door: Door) -> None:
    """Warn of what is open to more than it should be: to other machines, or to all users of this.

    Args:
        where: URLs, and channels.
        listeners: at the URLs.
        door: theirs.
    """
    if door.is_guarded:
        return
    exposed = [url for listener in listeners if listener.is_exposed for url in listener.addresses]
    if exposed:
        logger.warning(
            "%s: other machines can reach it, and nobody has to authenticate", ", ".join(exposed)
        )
    if door.lets_everybody_act:
        urls = [Url.parse(each) for each in where if isinstance(each, str)]
        is_open = [str(each) for each in urls if each.scheme not in _LOCAL and not asks(each)]
        if is_open and not exposed:
            logger.warning("%s: whoever reaches it may %s", ", ".join(is_open), door.everybody_may)


def warn_if_shut(dispatcher: Dispatcher, door: Door) -> None:
    """Warn of methods that nobody may call, as nobody can have their permissions.

    Args:
        dispatcher: has the methods.
        door: says who may do what.
    """
    if door.gives_permissions or door.lets_everybody_act:
        return
    if shut := dispatcher.restricted:
        logger.warning(
            "%s: nobody may call what requires a permission, without keyring= (--keys FILE) or "
            "authenticate=",
            ", ".join(shut),
        )


def asks(url: Url) -> bool:
    """Whether a URL's options have those who come prove something."""
    return any(option in url.options for option in _PROOFS)
