"""Which DataPoints an MCU has, and whether it has told them all that a query asks for.

Source: Tuya's document "Serial Communication Protocol", command 0x08: the MCU reports the state of
all DataPoints, in one frame or in several. It also reports by itself what has changed, in the same
command; so a report after a query that was lost may have come by chance.
"""

import math

from .datapoints import Unit

_PROMPT_SECONDS = 0.3


class Inventory:
    """What is known of the DataPoints of one MCU.

    A query is answered by reports that, together, bring all that the MCU is known to have. Of an
    MCU that has never answered one nobody knows: then by a DataPoint that it had not reported
    before, or by the same ones as after the asking before.

    Attributes:
        is_doubtful: the MCU should be asked once more, at leisure: its first answer was one
            DataPoint, and not at once.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._prompt_until = -math.inf
        self._is_prompt = False
        self.is_doubtful = False
        self._has_answered = False
        self._values: dict[int, Unit] = {}
        self._heard: set[int] | None = None  # since the MCU was asked
        self._heard_before: set[int] = set()  # between the asking before and that
        self._told: set[int] = set()  # since it was first asked, until it was asked last

    def ask(self, now: float, *, again: bool) -> None:
        """The MCU is asked for all of them.

        Args:
            now: seconds.
            again: because it has not answered, or not all.
        """
        self._prompt_until = now + _PROMPT_SECONDS
        again = again or self.is_doubtful
        heard, self._heard = self._heard or set(), set()
        if self.is_doubtful:
            heard |= self._known
            self.is_doubtful = False
        self._heard_before = heard if again else set()
        self._told = self._told | heard if again else set()
        if not again:
            self._known |= heard

    def hear(self, unit: Unit, now: float) -> bool:
        """Take what a report brings; says whether it is news.

        What was told after the asking before is none, unless it has changed.

        Args:
            unit: a part of the report.
            now: seconds.
        """
        self._is_prompt = now <= self._prompt_until
        is_known = unit.id in self._heard_before and self._values.get(unit.id) == unit
        self._values[unit.id] = unit
        if self._heard is None:
            self._known.add(unit.id)
        else:
            self._heard.add(unit.id)
        return not is_known

    @property
    def is_told(self) -> bool:
        """Whether the MCU has answered the query."""
        heard = self._heard
        if not heard:
            return False
        if heard == self._heard_before:
            return True
        if self._has_answered:
            return heard >= self._known
        return not heard <= self._known

    def end(self) -> None:
        """The query is over: answered, or given up."""
        self._told |= self._heard or set()
        is_thin = not self._is_prompt and len(self._told) == 1
        self.is_doubtful = is_thin and not self._has_answered
        if self._told:
            self._known = self._told
            self._has_answered = True
        self._heard, self._heard_before, self._told = None, set(), set()
