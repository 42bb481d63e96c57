"""Finding devices: by asking over UDP, by mDNS, over BLE, and at this host's serial adapters."""

from .discover import discover, usual_ways
from .found import Found, Via

__all__ = ["Found", "Via", "discover", "usual_ways"]
