"""No more is under way than a link answers in time."""

from pathlib import Path

import pytest

from jsonrpc_iot import Busy, CallTimeout, ChannelClosed, connect, serve
from jsonrpc_iot.services.files import get, put
from jsonrpc_iot.services.files.pace import Pace
from jsonrpc_iot.testing import Faults, LossyLink

from .device import DATA, device

pytestmark = pytest.mark.anyio


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("jsonrpc_iot.services.files.pace.time.monotonic", lambda: clock.now)
    return clock


def open_calls(pace: Pace) -> list[float]:
    """As many as there may be."""
    began = []
    while not pace.is_full:
        began.append(pace.start())
    return began


def test_a_fast_link_gets_all_it_takes(clock: Clock) -> None:
    pace = Pace()
    pace.bound(128 << 10, 8)
    assert pace.chunk == 8 << 10
    began = open_calls(pace)
    assert len(began) == 2
    for _ in range(6):
        clock.now += 0.1
        pace.answered(began.pop())
        began += open_calls(pace)
    assert pace.chunk == 128 << 10
    assert len(began) == 8


@pytest.mark.parametrize("bytes_a_second", [30, 100, 1000, 5000, 50_000])
def test_no_call_waits_for_long_on_a_slow_link(clock: Clock, bytes_a_second: int) -> None:
    """One call after the other is carried; those that wait longer than 10 s fail."""
    pace = Pace()
    pace.bound(128 << 10, 8)
    sent: list[tuple[float, int]] = []
    waits = []
    failed_at = 0
    for turn in range(300):
        while not pace.is_full:
            sent.append((pace.start(), pace.chunk))
        began, size = sent.pop(0)
        clock.now = max(clock.now, began) + size / bytes_a_second
        if clock.now - began > 10:
            failed_at = turn
            sent.clear()
            pace.failed(CallTimeout())
            pace.bound(128 << 10, 8)
            continue
        pace.answered(began)
        waits.append(clock.now - began)
    assert failed_at < 20
    assert max(waits[50:]) < 10
    carried = sum(size for _, size in sent) or pace.chunk
    assert carried >= min(64, bytes_a_second)


def test_a_device_that_takes_few_calls_gets_few(clock: Clock) -> None:
    pace = Pace()
    pace.bound(1000, 32)
    for _ in range(40):
        pace.answered(pace.start())
    assert len(open_calls(pace)) == 32
    pace.failed(Busy())
    pace.bound(1000, 32)
    for _ in range(40):
        pace.answered(pace.start())
    assert len(open_calls(pace)) == 16


def test_losses_halve_what_is_under_way(clock: Clock) -> None:
    pace = Pace()
    pace.bound(1000, 32)
    for _ in range(40):
        pace.answered(pace.start())
    pace.lost()
    assert len(open_calls(pace)) == 16
    for _ in range(5):
        pace.lost()
    pace.bound(1000, 32)
    assert len(open_calls(pace)) == 2


def test_what_is_no_delay_changes_nothing() -> None:
    pace = Pace()
    pace.bound(1000, 8)
    pace.failed(ChannelClosed())
    assert pace.chunk == 1000


async def test_a_slow_link_gets_it_in_the_end(tmp_path: Path) -> None:
    """Answers come after what calls wait, as long as pieces are large."""
    (tmp_path / "root").mkdir()
    (tmp_path / "file").write_bytes(DATA)
    link = LossyLink(Faults(), reliable=True)
    put_there = link.to_server.put

    def slowly(message: bytes, now: float) -> bool:
        return len(message) > 3000 or put_there(message, now)

    link.to_server.put = slowly  # type: ignore[method-assign]
    async with (
        serve(device(tmp_path / "root"), link.server, grace=0),
        connect(link.client, timeout=0.1) as client,
    ):
        await put(client, tmp_path / "file")
        await get(client, "file", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA
