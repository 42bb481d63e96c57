"""The report in writing: as text for people, as JSON, and as JUnit's XML."""

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

import msgspec

from ...protocol.text import escape
from .model import CaseReport, Report, Section

_LONGEST = 400


def shown(messages: Sequence[bytes]) -> str:
    """Messages as text, one a line: what is no text in escapes, what is long cut."""
    return "\n".join(map(_shown, messages))


def _shown(message: bytes) -> str:
    text = escape(message[:_LONGEST].decode(errors="backslashreplace"))
    return text if len(message) <= _LONGEST else f"{text}… ({len(message)} bytes)"


def as_json(report: Report) -> bytes:
    """The report as one JSON object."""
    return msgspec.json.encode(report)


def as_text(report: Report) -> str:
    """The report for people: a line for each section, and what failed in full."""
    lines = []
    for section in report.sections:
        if not section.cases:
            continue  # the profile asks for nothing there
        lines.append(f"{section.verdict:15} {section.name} ({_counts(section)})")
        for case in section.cases:
            if case.verdict == "fail":
                lines += _failure(case)
    verdict = "conforms to" if report.ok else "does not conform to"
    lines.append(f"{report.url} {verdict} the profile {report.profile}")
    return "\n".join(lines)


def _counts(section: Section) -> str:
    counts = Counter(case.verdict for case in section.cases)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _failure(case: CaseReport) -> Iterator[str]:
    yield f"  {case.name}: {escape(case.why)}"
    yield f"    rule      {case.rule}"
    for title, text in (("sent", case.sent), ("received", case.received or "nothing")):
        for line in text.split("\n"):
            yield f"    {title:9} {line}"


def as_junit(report: Report) -> bytes:
    """The report as XML in the form of JUnit: a suite for each section.

    What is not applicable or not verified is skipped there, with the reason.
    """
    root = ET.Element("testsuites", name=f"conformance of {report.url}")
    for section in report.sections:
        counts = Counter(case.verdict for case in section.cases)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=section.name,
            tests=str(len(section.cases)),
            failures=str(counts["fail"]),
            errors="0",
            skipped=str(counts["not applicable"] + counts["not verified"]),
        )
        for case in section.cases:
            _add(suite, section, case)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root) + b"\n"


def _add(suite: ET.Element, section: Section, case: CaseReport) -> None:
    place = ET.SubElement(suite, "testcase", classname=escape(section.name), name=escape(case.name))
    if case.verdict == "fail":
        failure = ET.SubElement(place, "failure", message=escape(case.why))
        failure.text = "\n".join(_failure(case))
    elif case.verdict != "pass":
        reason = escape(f"{case.verdict}: {case.why}")
        ET.SubElement(place, "skipped", message=reason)
