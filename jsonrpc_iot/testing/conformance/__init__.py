"""Holds a device against the protocol from outside, over any transport.

    report = await check_conformance("tcp://192.168.1.20:8805", profile="full")
    print(as_text(report))

The cases are data, a function for each section; `run` sends them and judges what comes back.
"""

from .device import Given
from .model import CaseReport, Profile, Report, Section, Verdict
from .run import check_conformance
from .written import as_json, as_junit, as_text

__all__ = [
    "CaseReport",
    "Given",
    "Profile",
    "Report",
    "Section",
    "Verdict",
    "as_json",
    "as_junit",
    "as_text",
    "check_conformance",
]
