"""A device for tests of the command line."""

from jsonrpc_iot import Dispatcher

kettle = Dispatcher()


@kettle.method
def boil(litres: float) -> float:
    """Give back how much it boils."""
    return litres
