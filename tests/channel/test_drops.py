"""The reasons why something is dropped: each has a name in one table, and a line in the docs."""

import re

from jsonrpc_iot.channel.drops import REASONS, added
from tests.places import ROOT


def test_every_reason_in_the_code_is_in_the_table() -> None:
    given: set[str] = set()
    for path in (ROOT / "jsonrpc_iot").rglob("*.py"):
        text = path.read_text()
        for body in re.findall(
            r"def (?:_?drops|_drops_of|_drops)\(.*?(?=\n    def |\n    @|\n\nclass |\n\ndef |\Z)",
            text,
            re.S,
        ):
            given |= set(re.findall(r'"([a-z_]+)"(?=[\]:])', body))

    assert given == REASONS.keys()


def test_every_reason_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "statistics.md").read_text()

    for reason, text in REASONS.items():
        assert f"| `{reason}` | {text} |" in page


def test_counts_are_added_by_reason_and_only_those_that_there_are() -> None:
    assert added(({"echo": 1, "stale": 0}, {"echo": 2, "deaf": 3})) == {"echo": 3, "deaf": 3}
    assert added(()) == {}
