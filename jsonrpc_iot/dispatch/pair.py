"""`rpc.pair`: the method by which who knows a device's code gets a key from it.

A dispatcher has it once one of its servers pairs; see `trust.pairing`.
"""

from ..errors import MethodNotFound
from .declare.context import Context
from .declare.options import Options
from .handler import Handler
from .table import Place

NAME = "rpc.pair"


async def _pair(
    context: Context, spake: str | None = None, confirm: str | None = None, name: str = ""
) -> dict[str, str]:
    """Get a key for a short code, in two steps: `spake` first, then `confirm` and `name`.

    Args:
        context: the caller's.
        spake: a message of SPAKE2, in Base64.
        confirm: the proof of knowing the code, in Base64.
        name: what the caller wants to be called.
    """
    pair = context._standing.pair
    if pair is None or context.info is None:
        raise MethodNotFound(data={"method": NAME, "hint": "nobody is paired here"})
    info = context.info
    # The second request over HTTP may come from another port.
    shares = bool(info.network) and not info.can_call_back
    return await pair(info.network if shares else info.peer, spake, confirm, name)


def pairing() -> Place:
    """The place of `rpc.pair`."""
    return NAME, Handler(NAME, _pair, Options(idempotent=True)), ()
