"""Programs of the tests that end in good order, and with them all that they have started."""

import signal


def end_on_sigterm() -> None:
    """Have SIGTERM do what Ctrl-C does: blocks are left, so that children end."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
