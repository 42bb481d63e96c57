"""The audit log: what was refused to whom, and what keys were given out.

Its logger is `jsonrpc_iot.audit`. Texts of the other end are escaped and lines are bounded like in
all logs of the package, and no secret is among them.
"""

import logging

from ..protocol.about import about
from .principal import Principal

logger = logging.getLogger("jsonrpc_iot.audit")

_SHOWN = 64  # characters of what strangers send


def refused_call(peer: str, method: str, requires: str, principal: Principal | None) -> None:
    """Somebody called what they may not.

    Args:
        peer: the other end, as the logs name it.
        method: what was called.
        requires: the permission that it needs.
        principal: who called, `None` for a stranger.
    """
    name = None if principal is None else principal.name
    logger.warning(
        "%s: %s was refused to %s: it needs %r",
        peer,
        _short(method),
        who(principal),
        requires,
        extra=about(peer, method, name),
    )


def refused_stranger(peer: str, method: str) -> None:
    """A stranger called where strangers may not.

    Args:
        peer: the other end, as the logs name it.
        method: what was called.
    """
    extra = about(peer, method)
    logger.warning("%s: %s was refused to a stranger", peer, _short(method), extra=extra)


def refused_proof(peer: str, proof: str, reason: str) -> None:
    """Somebody proved nothing.

    Args:
        peer: the other end, as the logs name it.
        proof: by what it was tried: `key`, `token`, `certificate`, `uid`, `hook`, `ticket`
            or `code`.
        reason: what is wrong with it, without a secret.
    """
    logger.warning(
        "%s: proof by %s was refused: %s", peer, proof, _short(reason), extra=about(peer)
    )


def revoked(peer: str, principal: Principal) -> None:
    """A peer's key is gone or has expired, so its channel ends."""
    extra = about(peer, principal=principal.name)
    logger.warning("%s: %s is not in the keyring any more", peer, who(principal), extra=extra)


def pairing_opened(seconds: float) -> None:
    """A window for pairing is open.

    Args:
        seconds: for how long.
    """
    logger.warning("pairing is open for %g s", seconds)


def pairing_closed(reason: str) -> None:
    """The window is closed.

    Args:
        reason: why.
    """
    logger.warning("pairing is closed: %s", reason)


def pairing_tried(peer: str, number: int, outcome: str) -> None:
    """A try to pair has begun, or ended.

    Args:
        peer: the other end, as the logs name it.
        number: of the try, from 1.
        outcome: how it stands.
    """
    logger.warning("%s: try %d to pair: %s", peer, number, _short(outcome), extra=about(peer))


def paired(peer: str, name: str) -> None:
    """Somebody has got a key.

    Args:
        peer: the other end, as the logs name it.
        name: that of the key.
    """
    extra = about(peer, principal=name)
    logger.warning("%s: paired, and called %r from now on", peer, _short(name), extra=extra)


def who(principal: Principal | None) -> str:
    """A principal in words."""
    if principal is None:
        return "a stranger"
    return f"{_short(principal.name)} (by {principal.proof})"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
