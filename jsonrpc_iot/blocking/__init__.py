"""The client for programs without async: scripts, notebooks, the Python prompt.

`connect_sync` connects at once and gives a `BlockingClient`, whose methods wait. The asynchronous
client does the work, in an event loop that runs in a thread of its own. All blocking clients of a
process share that thread; it ends with the last of them.
"""

from ._client import BlockingBatch, BlockingClient, connect_sync
from ._proxy import BlockingEvent
from ._streams import BlockingFeed, BlockingStream

__all__ = [
    "BlockingBatch",
    "BlockingClient",
    "BlockingEvent",
    "BlockingFeed",
    "BlockingStream",
    "connect_sync",
]
