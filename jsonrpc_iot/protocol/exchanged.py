"""How much has gone between two ends, by which it is told whether the other one still answers."""


class Exchanged:
    """Counts the requests of this end, and what became of them.

    Attributes:
        asked: requests that were made.
        heard: responses that have come.
        failed: requests of which the link itself said that nothing will answer them.
        unheard: requests that were made since the last response.
    """

    __slots__ = ("asked", "failed", "heard", "unheard")

    def __init__(self) -> None:
        self.asked = self.heard = self.failed = self.unheard = 0

    def ask(self) -> None:
        """Note a request."""
        self.asked += 1
        self.unheard += 1

    def hear(self) -> None:
        """Note a response."""
        self.heard += 1
        self.unheard = 0
