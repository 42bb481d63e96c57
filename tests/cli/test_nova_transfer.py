"""`nova export` and `nova import`."""

import json
from pathlib import Path

from .program import listening, run, started

ID = "0b6f8f2e-5e0c-4d8e-9f6a-2f4c8d1f7a11"
DEVICE = {"kind": "device", "device_id": ID, "name": "\x9blamp", "key_hash": "0" * 64}
SENSOR = {"kind": "sensor", "device_id": ID, "value_key": "t", "type": "number"}
VALUES = {"kind": "values", "device_id": ID, "value_key": "t", "points": [[5.0, 0, 1]]}


def text_of(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_from_one_database_into_another(tmp_path: Path) -> None:
    db = str(tmp_path / "a.db")
    done = run("nova", "import", "--db", db, stdin=text_of(DEVICE, SENSOR, VALUES))
    assert (done.code, done.err) == (0, "")
    assert done.result["devices"] == {"added": 1, "existing": 0, "different": 0}
    assert done.result["values"]["added"] == 1
    exported = run("nova", "export", "--db", db, "--telemetry")
    assert (exported.code, exported.err) == (0, "")
    assert "\x9b" not in exported.out
    lines = [json.loads(line) for line in exported.out.splitlines()]
    assert lines[3] == VALUES
    other = text_of({**DEVICE, "key_hash": "1" * 64}, *lines)
    done = run("nova", "import", "--db", db, stdin=other)
    assert done.code == 0
    assert done.result["devices"] == {"added": 0, "existing": 1, "different": 1}
    assert done.result["values"]["existing"] == 1
    what = f"device {ID} (key_hash) is there with something else, and stays"
    assert done.err == f"jsonrpc-iot: line 1: {what}\n"


def test_while_a_platform_runs(tmp_path: Path) -> None:
    db, pipe = str(tmp_path / "nova.db"), f"pipe://n?dir={tmp_path}"
    with started("nova", "platform", "--db", db, "--port", "0", "--manage", pipe) as program:
        listening(program)
        listening(program)
        exported = run("nova", "export", "--db", db)
        assert (exported.code, exported.out.count("\n")) == (0, 2)
        done = run("nova", "import", "--db", db, stdin=text_of(DEVICE))
        assert done.code == 3
        assert "another platform has it open" in done.complaint
        assert program.stop().code == 0


def test_a_mistake(tmp_path: Path) -> None:
    db = str(tmp_path / "nova.db")
    done = run("nova", "import", "--db", db, stdin=text_of(DEVICE, {"kind": "lamp"}))
    assert done.code == 2
    assert done.complaint.startswith("jsonrpc-iot: line 2: ")
