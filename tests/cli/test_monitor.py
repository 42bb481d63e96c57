"""`monitor`: the frames of a serial line, live and out of a recording."""

import json
import os
import re
import signal
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

import anyio
import pytest

from jsonrpc_iot import cli
from jsonrpc_iot.cli._frames import Noise, Report
from jsonrpc_iot.cli.monitor import Seen, Watch, _read_line
from jsonrpc_iot.protocol.improv.messages import (
    Call,
    Command,
    ErrorState,
    State,
    WifiSettings,
    encode_strings,
)
from jsonrpc_iot.protocol.improv.serial import (
    Packet,
    call_packet,
    error_packet,
    result_packet,
    state_packet,
)
from jsonrpc_iot.protocol.tuya.frame import Frame, FrameDecoder
from jsonrpc_iot.transports.serial.pty import open_pty
from tests.vectors import read_vectors
from tests.waiting import eventually

from .program import Done, Running, run_unread, started

needs_pty = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no ptys here")

CAPTURES = [vector for vector in read_vectors("tuya") if "source" in vector]
NOTHING = "noise bytes: 0, bad checksums: 0, too long: 0, expired: 0\n"

# When something came, and what.
Line = list[tuple[float, bytes]]
Replay = Callable[..., Done]


def frame(command: int, data: bytes = b"", version: int = 0) -> bytes:
    """A frame, made by the book."""
    made = bytes((0x55, 0xAA, version, command, len(data) >> 8, len(data) & 0xFF)) + data
    return made + bytes((sum(made) % 256,))


def unit(id: int, type_: int, value: bytes) -> bytes:
    return bytes((id, type_, len(value) >> 8, len(value) & 0xFF)) + value


def parsed(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Replay:
    """Shows a line out of a file, in this process."""
    path = tmp_path / "line.jsonl"

    def run_replay(line: Line, *options: str) -> Done:
        pieces = [json.dumps({"time": time, "bytes": data.hex()}) for time, data in line]
        path.write_text("".join(f"{piece}\n" for piece in pieces))
        return Done(cli.run(["monitor", "--replay", str(path), *options]), *capsys.readouterr())

    return run_replay


RPC = '{"id":1,"method":"é"}'
THREE = unit(1, 1, b"\1") + unit(101, 2, b"\0\0\0\x19") + unit(232, 3, b'{"id":1}')
THREE_UNITS = [
    {"id": 1, "type": "BOOL", "value": True},
    {"id": 101, "type": "VALUE", "value": 25},
    {"id": 232, "type": "STRING", "value": '{"id":1}'},
]
THREE_TEXT = r'1 BOOL true, 101 VALUE 25, 232 STRING "{\"id\":1}"'
OTHERS = unit(2, 0, b"\0\xff") + unit(3, 4, b"\7") + unit(4, 5, b"\1\0") + unit(5, 0, b"")
OTHER_UNITS = [
    {"id": 2, "type": "RAW", "value": "00ff"},
    {"id": 3, "type": "ENUM", "value": 7},
    {"id": 4, "type": "BITMAP", "value": 256},
    {"id": 5, "type": "RAW", "value": ""},
]


@pytest.mark.parametrize(
    ("command", "data", "name", "text", "members"),
    [
        (0x00, b"", "HEARTBEAT", "", {}),
        (0x00, b"\0", "HEARTBEAT", "restarted", {"status": "restarted"}),
        (0x00, b"\1", "HEARTBEAT", "running", {"status": "running"}),
        (0x00, b"\2", "HEARTBEAT", "02", {}),
        (0x01, b"", "PRODUCT", "", {}),
        (0x01, b'{"p":"x"}', "PRODUCT", '{"p":"x"}', {"message": '{"p":"x"}'}),
        (0x01, b"\xff", "PRODUCT", "malformed: no UTF-8: ff", {"error": "no UTF-8"}),
        (0x02, b"\x0c\x0d", "WORKING_MODE", "0c 0d", {}),
        (0x03, b"", "NETWORK_STATUS", "", {}),
        (0x03, b"\4", "NETWORK_STATUS", "CLOUD", {"status": "CLOUD"}),
        (0x03, b"\x63", "NETWORK_STATUS", "63", {}),
        (0x04, b"", "RESET", "", {}),
        (0x05, b"\1", "RESET_TO_MODE", "01", {}),
        (0x06, THREE, "SET_DATAPOINTS", THREE_TEXT, {"datapoints": THREE_UNITS}),
        (0x07, THREE, "REPORT_DATAPOINTS", THREE_TEXT, {"datapoints": THREE_UNITS}),
        (
            0x22,
            OTHERS,
            "SYNC_REPORT",
            "2 RAW 00ff, 3 ENUM 7, 4 BITMAP 256, 5 RAW",
            {"datapoints": OTHER_UNITS},
        ),
        (
            0x07,
            b"\5\1\0\2\1",
            "REPORT_DATAPOINTS",
            "malformed: DataPoint 5: cut off, 1 of 2 bytes are here: 05 01 00 02 01",
            {"error": "DataPoint 5: cut off, 1 of 2 bytes are here"},
        ),
        (
            0x07,
            unit(1, 1, b"\1") + unit(2, 1, b"\2") + unit(232, 3, b"x"),
            "REPORT_DATAPOINTS",
            'malformed: DataPoint 2: BOOL is 2, neither 0 nor 1: 1 BOOL true, 232 STRING "x"',
            {
                "datapoints": [
                    {"id": 1, "type": "BOOL", "value": True},
                    {"id": 232, "type": "STRING", "value": "x"},
                ],
                "error": "DataPoint 2: BOOL is 2, neither 0 nor 1",
            },
        ),
        (0x08, b"", "QUERY_DATAPOINTS", "", {}),
        (0x0C, b"\1", "GMT_TIME", "01", {}),
        (0x1C, b"\1", "LOCAL_TIME", "01", {}),
        (0x23, b"\1", "SYNC_REPORT_RESULT", "01", {}),
        (0x24, b"\1", "RSSI", "01", {}),
        (0x37, b"\0\xab", "0x37", "00 ab", {}),
        (0xFE, RPC.encode(), "RPC", RPC, {"message": RPC}),
        (0xFE, b"{", "RPC", "malformed: no JSON: {", {"message": "{", "error": "no JSON"}),
        (
            0xFE,
            b"[" * 4000,
            "RPC",
            "malformed: no JSON: " + "[" * 4000,
            {"message": "[" * 4000, "error": "no JSON"},
        ),
        (0xFE, b"\x81\xff", "RPC", "malformed: no UTF-8: 81 ff", {"error": "no UTF-8"}),
        (0xFE, b"\x81\xa2id\xc4\1\0", "RPC", '{"id":"AA=="}', {"message": '{"id":"AA=="}'}),
        (0xFE, b"", "RPC", "malformed: no JSON:", {"message": "", "error": "no JSON"}),
    ],
)
def test_each_kind_of_frame(
    replay: Replay, command: int, data: bytes, name: str, text: str, members: dict[str, object]
) -> None:
    line = [(12.5, frame(command, data, version=3))]
    totals = f"frames: 1, {NOTHING}"

    expected = f"   12.500    3  {name:<18}  {text}".rstrip()
    assert replay(line) == Done(0, f"{expected}\n", totals)

    done = replay(line, "--json")
    assert (done.code, done.err) == (0, totals)
    head = {"time": 12.5, "version": 3, "command": command, "name": name, "data": data.hex()}
    assert parsed(done.out) == [head | members]


def test_the_captures(replay: Replay) -> None:
    line = [(float(at), bytes.fromhex(vector["hex"])) for at, vector in enumerate(CAPTURES)]
    decoder = FrameDecoder()
    expected: list[tuple[float, Frame]] = []
    for time, piece in line:
        expected += [(time, each) for each in decoder.feed(piece, time)]
        expected += [(time, each) for each in decoder.expire(time + 0.5)]

    done = replay(line, "--json")

    seen = parsed(done.out)
    frames = [each for each in seen if "noise" not in each]
    assert [
        (int(each["time"]), (each["version"], each["command"], bytes.fromhex(each["data"])))
        for each in frames
    ] == expected
    assert len(frames) == 47
    assert sum(each.get("noise", 0) for each in seen) == decoder.noise_bytes > 0
    assert [each["time"] for each in seen] == sorted(each["time"] for each in seen)
    assert done.err == (
        f"frames: 47, noise bytes: {decoder.noise_bytes}, bad checksums: {decoder.bad_checksums}, "
        f"too long: {decoder.too_long}, expired: {decoder.expired}\n"
    )


def test_packets_of_improv_stand_between_frames(replay: Replay) -> None:
    settings = WifiSettings("home\x1b", "correct horse")
    packets = [
        call_packet(Call(Command.WIFI_SETTINGS, settings.encode())),
        state_packet(State.PROVISIONING),
        error_packet(ErrorState.UNABLE_TO_CONNECT),
        result_packet(Call(Command.REQUEST_STATE, encode_strings(["http://192.0.2.7/"]))),
        call_packet(Call(Command.WIFI_SETTINGS, b"\x09cut short")),
        Packet(9, b"\x01"),
    ]
    line = [(0.0, b"".join(frame(8) + each.encode() for each in packets))]

    done = replay(line)

    shown = [re.sub(" +", " ", each.strip()) for each in done.out.splitlines()]
    assert shown[::2] == ["0.000 0 QUERY_DATAPOINTS"] * 6
    assert shown[1::2] == [
        r"0.000 IMPROV CALL WIFI_SETTINGS 'home\x1b' '***'",
        "0.000 IMPROV STATE PROVISIONING",
        "0.000 IMPROV ERROR UNABLE_TO_CONNECT",
        "0.000 IMPROV RESULT REQUEST_STATE 'http://192.0.2.7/'",
        "0.000 IMPROV CALL 01 03 2a 2a 2a",
        "0.000 IMPROV 0x09 01",
    ]
    assert done.err == f"frames: 6, {NOTHING}"
    assert parsed(replay(line, "--json").out)[3] == {
        "time": 0.0,
        "improv": "STATE",
        "data": "03",
        "meaning": "PROVISIONING",
    }


def test_noise_stands_where_it_was(replay: Replay) -> None:
    wrong = frame(8)[:-1] + b"\0"
    line = [(0.0, b"x" + frame(8) + b"xyz" + frame(8) + frame(8)), (0.25, wrong), (0.5, b"x")]

    done = replay(line)

    shown = [re.sub(" +", " ", each.strip()) for each in done.out.splitlines()]
    query = "0.000 0 QUERY_DATAPOINTS"
    noise = ["0.000 noise: 1 byte", "0.000 noise: 3 bytes", "0.250 noise: 8 bytes"]
    assert shown == [noise[0], query, noise[1], query, query, noise[2]]
    assert done.err == "frames: 3, noise bytes: 12, bad checksums: 1, too long: 0, expired: 0\n"


def test_noise_without_end_is_shown_each_second(replay: Replay) -> None:
    done = replay([(at / 4, b"junk") for at in range(8)], "--json")

    assert parsed(done.out) == [{"time": 0.0, "noise": 16}, {"time": 1.0, "noise": 16}]


def test_silence_ends_a_frame_at_its_time(replay: Replay) -> None:
    swallowed = b"\x55\xaa\0\6\1\0" + frame(0)
    done = replay([(1.0, swallowed), (30.0, frame(8))], "--json")

    noise, inside, after = parsed(done.out)
    assert noise == {"time": 1.4, "noise": 6}
    assert (inside["time"], inside["name"]) == (1.4, "HEARTBEAT")
    assert (after["time"], after["name"]) == (30.0, "QUERY_DATAPOINTS")
    assert done.err == "frames: 2, noise bytes: 6, bad checksums: 0, too long: 0, expired: 1\n"


def test_what_is_unfinished_at_the_end_is_noise(replay: Replay) -> None:
    swallowed = b"\x55\xaa\0\6\1\0" + frame(0) + b"\x55"
    done = replay([(1.0, swallowed)], "--json")

    noise, inside = parsed(done.out)
    assert noise == {"time": 1.4, "noise": 7}
    assert (inside["time"], inside["name"]) == (1.4, "HEARTBEAT")
    assert done.err == "frames: 1, noise bytes: 7, bad checksums: 0, too long: 0, expired: 1\n"


def test_as_many_as_asked_for(replay: Replay) -> None:
    line = [(0.0, frame(8) * 3 + b"noise"), (1.0, frame(8))]
    done = replay(line, "--count", "2")

    assert done.out.count("QUERY_DATAPOINTS") == done.out.count("\n") == 2
    assert done.err == f"frames: 2, {NOTHING}"


def test_nobody_reads_standard_output(tmp_path: Path) -> None:
    path = tmp_path / "line"
    path.write_text(json.dumps({"time": 0, "bytes": frame(8).hex()}))

    assert run_unread("monitor", "--replay", str(path)) == Done(141, "", "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("junk", 'not like {"time": 0.5, "bytes": "55aa"}: JSON is malformed'),
        ("", 'not like {"time": 0.5, "bytes": "55aa"}: Input data was truncated'),
        ('{"time":0}', "missing required field `bytes`"),
        ('{"time":-1,"bytes":""}', "Expected `float` >= 0"),
        ('{"time":"1","bytes":""}', "Expected `float`, got `str`"),
        ('{"time":0.5,"bytes":""}', "the time 0.5 is not 1 or later"),
        ('{"time":1,"bytes":"5g"}', "the bytes are no hex digits"),
        ("[" * 100_000, "Expected `object`, got `array`"),
        ('{"x":' + "[" * 100_000, "recursion"),
        ('{"time":1,"bytes":"\udcff"}', "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_broken_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, problem: str
) -> None:
    path = tmp_path / "broken"
    text = f'{{"time":1,"bytes":"00"}}\n{line}\n'
    path.write_bytes(text.encode(errors="surrogateescape"))

    done = Done(cli.run(["monitor", "--replay", str(path)]), *capsys.readouterr())

    assert done.code == 2
    assert done.complaint.startswith(f"jsonrpc-iot: {path}:2: ")
    assert problem in done.complaint


def test_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        done = Done(cli.run(["monitor", "--replay", str(path)]), *capsys.readouterr())
        assert done.code == 2
        assert done.complaint.startswith(f"jsonrpc-iot: {path} cannot be read: ")


def test_junk_takes_no_memory() -> None:
    shown: list[Seen] = []
    watch = Watch(shown.append, None)
    junk = Random(1).randbytes(1 << 16)
    watch.take(0.0, junk)
    tracemalloc.start()
    try:
        for at in range(1, 5):
            watch.take(at / 100, junk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 32_768
    assert watch.decoder.noise_bytes > 4 * len(junk)
    assert shown == []


@pytest.mark.parametrize("count", [None, 3])
@pytest.mark.parametrize("seed", range(50))
def test_it_does_not_matter_when_it_is_asked_for_more(seed: int, count: int | None) -> None:
    random = Random(seed)
    parts = [frame(8), frame(0xFE, b"{}"), b"\x55\xaa\0\6\0\x20", b"x", b"\x55", b"\x55\xaa"]
    often: list[Seen] = []
    seldom: list[Seen] = []
    asked, alone = Watch(often.append, count), Watch(seldom.append, count)
    now = 0.0
    for _ in range(30):
        piece = b"".join(random.choices(parts, k=3))[: random.randrange(1, 30)]
        then = now + random.choice([0.0, 0.01, 0.39, 0.4, 0.41, 0.999, 1.0, 1.5])
        while now < then:
            now = min(then, now + random.random())
            asked.advance(now)
        asked.take(now, piece)
        alone.take(now, piece)
    asked.finish()
    alone.finish()

    assert often == seldom
    assert asked.totals() == alone.totals()
    frames = sum(isinstance(each, Report) for each in often)
    noise = sum(each.noise for each in often if isinstance(each, Noise))
    assert frames == asked.frames > 0
    assert noise == asked.decoder.noise_bytes
    assert noise > 0 if count is None else frames == count


@contextmanager
def watching(*options: str) -> Iterator[tuple[Running, int]]:
    """Watch a new pseudo terminal; gives what writes to it."""
    with started("monitor", "uart+pty://", *options) as program:
        url = program.wait_for_error("listening uart:///dev/").removeprefix("listening uart://")
        line = os.open(url.strip(), os.O_WRONLY | os.O_NOCTTY)
        try:
            yield program, line
        finally:
            os.close(line)


@needs_pty
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_each_is_shown_at_once_until_a_signal(number: int) -> None:
    with watching() as (program, line):
        for _ in range(2):
            os.write(line, frame(0xFE, b"{}"))
            assert program.next_line().endswith("    0  RPC                 {}\n")
        assert program.stop(number) == Done(0, "", f"frames: 2, {NOTHING}")


@needs_pty
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_recording_is_shown_like_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    path = tmp_path / "line.jsonl"
    with watching("--record", str(path), *options) as (program, line):
        lines = []
        os.write(line, b"xx" + frame(7, THREE, version=3) + frame(0xFE, b"{}")[:5])
        lines += [program.next_line(), program.next_line()]
        recorded = parsed(path.read_text())  # is there already
        os.write(line, frame(0xFE, b"{}")[5:] + b"\x55\xaa\0\6\1\0" + frame(0))
        lines += [program.next_line() for _ in range(3)]  # once the line was silent
        os.write(line, b"lots of noise")
        lines.append(program.next_line())
        os.write(line, frame(8) + b"\x55\xaa\0")
        lines.append(program.next_line())
        done = program.stop()

    assert b"".join(bytes.fromhex(each["bytes"]) for each in recorded).startswith(b"xx\x55\xaa")
    assert done.code == 0
    names = "noise|REPORT_DATAPOINTS|RPC|HEARTBEAT|QUERY_DATAPOINTS"
    live = "".join(lines) + done.out
    assert re.findall(names, live) == [
        *("noise", "REPORT_DATAPOINTS", "RPC", "noise", "HEARTBEAT"),
        *("noise", "QUERY_DATAPOINTS", "noise"),
    ]
    again = Done(cli.run(["monitor", "--replay", str(path), *options]), *capsys.readouterr())
    assert again == Done(0, live, done.err)


@needs_pty
@pytest.mark.anyio
async def test_what_came_while_it_was_stopped_is_no_noise() -> None:
    pieces: list[tuple[float, bytes, bool]] = []
    shown: list[Seen] = []
    again: list[Seen] = []
    watch, replay = Watch(shown.append, 2), Watch(again.append, 2)
    sent = frame(0xFE, b'"one"') + frame(0xFE, b'"two"')
    stream, path = open_pty()
    line = os.open(path, os.O_WRONLY | os.O_NOCTTY)
    try:
        async with stream, anyio.create_task_group() as tasks:
            tasks.start_soon(_read_line, watch, stream, lambda *piece: pieces.append(piece))
            os.write(line, sent[:8])
            await eventually(lambda: pieces)
            os.write(line, sent[8:])
            sleep(0.6)  # noqa: ASYNC251  # that is the point
            await eventually(lambda: watch.is_done)
    finally:
        os.close(line)

    for piece in pieces:
        replay.take(*piece)
    assert shown == again
    assert [each.message for each in shown if isinstance(each, Report)] == ['"one"', '"two"']
    assert watch.totals() == f"frames: 2, {NOTHING}".rstrip()


@needs_pty
def test_a_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("precious")
    for path, problem in (
        (taken, "is there already: remove it"),
        (tmp_path / "no" / "folder", "cannot be written: No such file"),
    ):
        arguments = ["monitor", "uart+pty://", "--record", str(path)]
        done = Done(cli.run(arguments), *capsys.readouterr())
        assert done.code == 2
        assert done.complaint.startswith(f"jsonrpc-iot: {path} {problem}")
    assert taken.read_text() == "precious"


@needs_pty
@pytest.mark.parametrize(
    ("scheme", "options"), [("uart", "baudrate=9600"), ("tuya-dp", "role=mcu&dpid=7&buffer=99")]
)
def test_an_unplugged_port(scheme: str, options: str) -> None:
    master, slave = os.openpty()
    url = f"{scheme}://{os.ttyname(slave)}?{options}"
    try:
        with started("monitor", url) as program:
            assert program.wait_for_error("watching") == f"watching {url}\n"
            os.write(master, frame(8))
            assert program.next_line().endswith("QUERY_DATAPOINTS\n")
            os.close(slave)
            os.close(master)
            master = slave = -1
            done = program.finish()
    finally:
        for each in (master, slave):
            if each >= 0:
                os.close(each)

    problem = f"jsonrpc-iot: {url}: the line is gone; is it unplugged?\n"
    assert done == Done(3, "", f"frames: 1, {NOTHING}{problem}")


def test_a_serial_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        url = f"uart://socket/127.0.0.1:{server.getsockname()[1]}"
        with started("monitor", url) as program:
            connection, _ = server.accept()
            with connection:
                connection.sendall(frame(8) + b"x")
                assert program.next_line().endswith("QUERY_DATAPOINTS\n")
            done = program.finish()

    assert (done.code, done.out.count("\n")) == (3, 1)
    assert done.out.endswith("noise: 1 byte\n")
    assert done.err.startswith(f"watching {url}\nframes: 1, noise bytes: 1, ")
    assert done.err.endswith(f"jsonrpc-iot: {url}: the serial server has ended the connection\n")


@pytest.mark.parametrize("url", ["uart:///dev/none", "tuya-dp://socket/127.0.0.1:1?role=module"])
def test_no_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str) -> None:
    path = tmp_path / "line"
    done = Done(cli.run(["monitor", url, "--record", str(path)]), *capsys.readouterr())

    assert done.code == 3
    assert done.complaint.startswith(f"jsonrpc-iot: {url}: ")
    assert not path.exists()
