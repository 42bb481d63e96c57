"""The page about the guide: what it says is shown by tests that are there."""

import inspect
import re
from pathlib import Path

import pytest

from jsonrpc_iot.novacloud import NovaDevice, NovaPlatform
from tests.novacloud.rig import running
from tests.places import ROOT

PAGE = (ROOT / "docs" / "novacloud-guide.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| ([\d., to]+) \| (.+?) \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)


def test_every_requirement_has_a_row_and_a_verdict() -> None:
    assert [int(number) for number, *_ in ROWS] == [*range(1, 64)]
    for number, _, _, where, verdict in ROWS:
        assert where in {"both", "device", "platform"}, number
        assert re.match(r"(works|partly|not)\b", verdict), number
    works = sum(verdict.startswith("works") for *_, verdict in ROWS)
    partly = sum(verdict.startswith("partly") for *_, verdict in ROWS)
    assert f"Of {len(ROWS)} requirements {works} work and {partly} do in part." in PAGE


def test_the_tests_that_it_names_are_there() -> None:
    here = [*Path(__file__).parent.rglob("*.py")]
    found = set(re.findall(r"def (test_\w+)", "".join(map(Path.read_text, here))))
    for number, *_, verdict in ROWS:
        named = set(re.findall(r"`(test_\w+)`", verdict))
        assert named, number
        assert not named - found, number


def test_the_port_of_the_guide() -> None:
    for end in (NovaDevice, NovaPlatform):
        assert inspect.signature(end).parameters["port"].default == 8100


@pytest.mark.anyio
async def test_a_heartbeat_is_not_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as rig, rig.device(await rig.create()) as device:
        before = (await rig.call("device.get", device_id=device.id))["last_seen"]
        await device.send({"type": "heartbeat"})
        await rig.until_stat("messages")
        await device.send_raw(b"nonsense\n")
        assert (await device.receive())["type"] == "error"  # and nothing before it
        assert (await rig.call("device.get", device_id=device.id))["last_seen"] > before
