"""What is checked, and what came out: cases, verdicts and the report."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

from .replies import Message

Profile: TypeAlias = Literal["minimal", "standard", "full"]
"""What a device has to do: answer requests; what the source of the protocol says; all of it."""

PROFILES: Final[tuple[Profile, ...]] = ("minimal", "standard", "full")

Verdict: TypeAlias = Literal["pass", "fail", "not applicable", "not verified"]

Check: TypeAlias = Callable[[Sequence[object]], str]
"""Is given the values that came back; says what is wrong with them, or nothing."""


class Case(Struct, frozen=True, kw_only=True):
    """Messages to send, and what has to come back.

    Args:
        name: is one of its kind in its section.
        rule: the sentence of the specification that it checks.
        sent: messages, sent one right behind the other.
        expect: the messages back, in any order.
        also: other answers that are as good, where the protocol leaves it open.
        profile: the least one that asks for it.
        check: looks at what came back instead of `expect`, once as many messages as there are in
            `expect` have come, or no more come.
        waits: a message that is sent once what came before is answered.
        lacks: looks at what came back before all else, and says why the case does not concern the
            device after all, if so.
        inapplicable: why it does not concern the device; then it is not sent.
        unverified: why it cannot be checked; then it is not sent.
    """

    name: str
    rule: str
    sent: tuple[bytes, ...] = ()
    expect: tuple[Message, ...] = ()
    also: tuple[tuple[Message, ...], ...] = ()
    profile: Profile = "standard"
    check: Check | None = None
    waits: bytes | None = None
    lacks: Check | None = None
    inapplicable: str = ""
    unverified: str = ""

    @property
    def wanted(self) -> int:
        """How many messages have to come back at least."""
        return min(len(each) for each in (self.expect, *self.also))


class CaseReport(Struct, frozen=True, omit_defaults=True):
    """What came out of one case.

    Args:
        name: the case's.
        verdict: whether the device does as the rule says.
        sent: what was sent, one message a line; what is no text in escapes, and cut if it is long.
        received: what came back.
        rule: the sentence of the specification.
        why: the fault that was found, or why nothing was checked.
    """

    name: str
    verdict: Verdict
    sent: str
    received: str
    rule: str
    why: str = ""


class Section(Struct, frozen=True):
    """The cases about one thing.

    Args:
        name: of the thing.
        verdict: `fail` if one case failed, else `pass` if one passed.
        cases: in the order in which they were sent.
    """

    name: str
    verdict: Verdict
    cases: list[CaseReport]

    @classmethod
    def of(cls, name: str, cases: list[CaseReport]) -> "Section":
        """The section of these cases."""
        verdicts = {case.verdict for case in cases}
        order: tuple[Verdict, ...] = ("fail", "pass", "not verified", "not applicable")
        return cls(name, next((each for each in order if each in verdicts), order[-1]), cases)


class Report(Struct, frozen=True):
    """What a device does right and wrong.

    Args:
        url: where it is, with its password masked.
        profile: what it was held against.
        ok: nothing failed.
        sections: in the order in which they were checked.
    """

    url: str
    profile: Profile
    ok: bool
    sections: list[Section] = field(default_factory=list)
