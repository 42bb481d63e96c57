"""RPC over HTTP as an ASGI application, to be mounted in any web program.

`asgi_app` makes one. `serve` uses the same for its `http://` URLs; binding ports is the business
of the transport.
"""

from .app import RpcApp
from .mounted import asgi_app

__all__ = ["RpcApp", "asgi_app"]
