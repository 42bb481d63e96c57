"""The reports in writing, and what is not checked."""

import json
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jsonrpc_iot import (
    UsageError,
    serve,
)
from jsonrpc_iot.testing.conformance import (
    as_json,
    as_junit,
    as_text,
    check_conformance,
)
from tests.places import ROOT

from .device import (
    RULES,
    lamp,
    parsed,
    report_of,
    right,
)

pytestmark = pytest.mark.anyio


async def test_the_reports_say_the_same(tmp_path: Path) -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and value.get("id") == "":
            yield b'{"id":"\x1b[31m","result":true}'
        else:
            yield from right(message)

    report = await report_of(answer, "standard")
    value = json.loads(as_json(report))
    suites = list(ET.fromstring(as_junit(report)))

    assert list(value) == ["url", "profile", "ok", "sections"]
    assert value["ok"] is False
    for section, suite in zip(value["sections"], suites, strict=True):
        assert list(section) == ["name", "verdict", "cases"]
        assert (suite.get("name"), suite.get("tests")) == (
            section["name"],
            str(len(section["cases"])),
        )
        fails = [case["name"] for case in section["cases"] if case["verdict"] == "fail"]
        assert [each.get("name") for each in suite if each.find("failure") is not None] == fails
        for case in section["cases"]:
            assert {"name", "verdict", "sent", "received", "rule"} <= set(case)
    assert "fail            ids" in as_text(report)
    assert "\x1b" not in as_text(report)


def test_the_rules_are_sentences_of_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    sentences = " ".join(page.replace(" | ", ": ").split())

    assert [rule for rule in RULES if rule not in sentences] == []


async def test_each_section_is_told_as_it_begins() -> None:
    told: list[str] = []
    async with serve(lamp(), "memory://conformance-told") as server:
        report = await check_conformance(server.urls[0], profile="minimal", progress=told.append)

    count = len(report.sections)
    names = [section.name for section in report.sections]
    assert "answers" in as_text(report)
    assert "subscriptions" not in as_text(report)  # of which this profile asks for nothing
    assert told == [f"{name} ({at} of {count})" for at, name in enumerate(names, 1)]


async def test_there_is_no_other_profile() -> None:
    with pytest.raises(UsageError, match="there are minimal, standard, full"):
        await check_conformance("tcp://127.0.0.1:1", profile="best")  # type: ignore[arg-type]


async def test_messagepack_is_not_checked() -> None:
    url = "memory://conformance-packed?codec=msgpack"
    async with serve(lamp(), url):
        with pytest.raises(UsageError, match="leave"):
            await check_conformance(url)
