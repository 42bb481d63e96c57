"""What a server has in common with those below its addresses."""

from msgspec import Struct

from ..asgi.console.session import OneTimeKey
from ..channel.door import Door
from ..channel.tracing import Tracing
from ..protocol.budget import Budget
from ..protocol.limits import Limits
from .statistics import Statistics


class House(Struct, frozen=True, eq=False):
    """What holds at all addresses.

    Args:
        door: says who a peer is.
        limits: bounds on what a peer may cost.
        trace: is shown each message.
        budget: room for what may be asked for again.
        console: browsers get a page at the addresses of HTTP; or the key that lets one of them in.
        statistics: counts what is done; `None` where nobody does.
    """

    door: Door
    limits: Limits
    trace: Tracing
    budget: Budget
    console: bool | OneTimeKey = False
    statistics: Statistics | None = None
