"""What came out: verdicts and the report."""

from typing import Final, Literal, TypeAlias

from msgspec import Struct, field

Profile: TypeAlias = Literal["minimal", "standard", "full"]
"""What a device has to do: answer requests; what the source of the protocol says; all of it."""

PROFILES: Final[tuple[Profile, ...]] = ("minimal", "standard", "full")

Verdict: TypeAlias = Literal["pass", "fail", "not applicable", "not verified"]


class LineEnded(Exception):
    """The connection has ended; the text says why."""


class Unchecked(Exception):
    """What a dialogue wanted to know cannot be said.

    Args:
        verdict: in place of it.
        why: the reason.
    """

    def __init__(self, verdict: Verdict, why: str) -> None:
        super().__init__(why)
        self.verdict = verdict
        self.why = why


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
