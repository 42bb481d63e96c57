"""What mypy says of programs that use the package: it accepts right lines and refuses wrong ones.

A line of a sample that is wrong ends with `# E: code: part of the message`.
"""

import re
from contextlib import chdir
from pathlib import Path

import pytest
from mypy import api

from tests.places import ROOT

SAMPLES = Path(__file__).parent / "samples"
FOUND = re.compile(r"(?P<path>[^:]+):(?P<line>\d+): error: (?P<text>.*)  \[(?P<code>[a-z-]+)\]")
EXPECTED = re.compile(r"  # E: (?P<code>[a-z-]+): (?P<text>.+)")

Findings = dict[tuple[str, int], list[tuple[str, str]]]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """What mypy finds: code and message of each error, by file and line."""
    cache = tmp_path_factory.mktemp("mypy")
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache)]
    looks = ["--no-error-summary", "--no-pretty", "--hide-error-context", "--no-color-output"]
    with chdir(ROOT):
        output, errors, _ = api.run([*settings, *looks, *map(str, sorted(SAMPLES.glob("*.py")))])
    assert errors == ""
    found: Findings = {}
    for line in output.splitlines():
        if ": note: " in line:
            continue
        match = FOUND.fullmatch(line)
        assert match is not None, line
        place = Path(match["path"]).name, int(match["line"])
        found.setdefault(place, []).append((match["code"], match["text"]))
    return found


def expected() -> Findings:
    """What the samples say that mypy finds."""
    lines: Findings = {}
    for sample in sorted(SAMPLES.glob("*.py")):
        for number, line in enumerate(sample.read_text(encoding="utf-8").splitlines(), 1):
            if match := EXPECTED.search(line):
                lines[sample.name, number] = [(match["code"], match["text"])]
    return lines


def test_right_lines_are_accepted(findings: Findings) -> None:
    assert {place: errors for place, errors in findings.items() if place not in expected()} == {}


@pytest.mark.parametrize(("place", "wanted"), expected().items(), ids=str)
def test_a_wrong_line_is_refused(
    place: tuple[str, int], wanted: list[tuple[str, str]], findings: Findings
) -> None:
    ((code, text),) = wanted
    assert [found for found, _ in findings.get(place, [])] == [code]
    assert text in findings[place][0][1]


def test_there_are_samples_of_both_kinds() -> None:
    assert len(expected()) > 30
    assert not any(name == "right.py" for name, _ in expected())
