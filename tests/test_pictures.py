"""The pictures of the documentation, and its recorded session, whose commands have to exist."""

import json
import shlex
import xml.etree.ElementTree as ET

from jsonrpc_iot.cli import NAME
from jsonrpc_iot.cli import ROOT as PROGRAM
from jsonrpc_iot.cli.command.parse import parse
from tests.places import ROOT
from tools.terminal_recording import PROMPT, SESSION, Event, as_cast, as_picture, lines_of

DOCS = ROOT / "docs"


def recorded() -> list[Event]:
    head, *lines = (DOCS / "session.cast").read_text(encoding="utf-8").splitlines()
    assert json.loads(head)["version"] == 2
    events = [json.loads(line) for line in lines]
    assert {kind for _, kind, _ in events} == {"o"}
    return [Event(at, text) for at, _, text in events]


def test_it_is_what_the_program_plays() -> None:
    lines = lines_of(recorded())
    typed = [line.text.removeprefix(PROMPT) for line in lines if line.text.startswith(PROMPT)]

    assert tuple(typed[: len(SESSION)]) == SESSION
    for command in SESSION:
        program, *words = shlex.split(command.removesuffix(" &"))
        assert program == NAME
        parse(PROGRAM, words)


def test_time_goes_forward() -> None:
    events = recorded()
    times = [event.at for event in events]

    assert times == sorted(times)
    assert times[-1] < 60
    assert as_cast(events) == (DOCS / "session.cast").read_text(encoding="utf-8")


def test_the_picture_is_of_the_same_session_and_runs_no_scripts() -> None:
    picture = (DOCS / "session.svg").read_text(encoding="utf-8")

    assert picture == as_picture(lines_of(recorded()))
    kinds = {element.tag.rpartition("}")[2] for element in ET.fromstring(picture).iter()}
    assert kinds == {"svg", "title", "rect", "animate", "g", "text", "set", "animateTransform"}


def test_pictures_are_small_and_shown() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    pictures = [*DOCS.glob("*.png"), *DOCS.glob("*.svg")]

    assert len(pictures) > 4
    assert {path.name for path in pictures if path.stat().st_size > 150_000} == set()
    assert {path.name for path in pictures if f"({path.name})" not in pages} == set()
