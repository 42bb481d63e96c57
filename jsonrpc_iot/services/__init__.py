"""Services that come with the package, ready for `dispatcher.include(...)`.

`services.system` says what the device is; `services.wifi` joins it to a network. Each one stands on
the public API alone, so they also show how to write your own. What serves them is the application's
choice (`serve`, or the command line). `services.improv` tells a device of its first network.
"""

from .system import System, SystemInfo

__all__ = ["System", "SystemInfo"]
