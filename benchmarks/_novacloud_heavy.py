"""A platform with 2 million values: memory and time of queries, waiting behind reports, backup.

Each function gives one figure of a running platform whose database `fill` has filled.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio

from jsonrpc_iot import RpcError, connect, connect_sync

from ._novacloud import Platform, auth, check_in, connected, device_id, link_to, resident, stored
from ._novacloud_load import reports, talking
from ._novacloud_store import BIG, TEXT

REPORTS = 40
_SETTLE_SECONDS = 1.0
_QUERIES: Sequence[dict[str, Any]] = (
    {"value_key": TEXT, "limit": 3000},
    {"value_key": TEXT, "limit": 3000, "order": "desc"},
    {"value_key": TEXT, "aggregate": "last", "interval": 60, "limit": 3000},
    {"value_key": BIG, "limit": 100_000},
    {"value_key": BIG, "limit": 100_000, "order": "desc"},
    {"value_key": BIG, "interval": 7, "limit": 100_000},
    {"value_key": BIG, "aggregate": "max"},
)


def memory(running: Platform) -> float:
    """Bytes that the hungriest of many queries takes, streamed and not, above an idle platform."""
    with connect_sync(running.urls[1], timeout=60.0) as client:
        client.call("platform.stats")
        before = resident(running.pid)
        Path(f"/proc/{running.pid}/clear_refs").write_text("5")  # the peak begins anew
        for query in _QUERIES:
            params = {"device_id": device_id(0), **query}
            with client.stream("telemetry.query", params) as points:
                for _ in points:
                    pass
            try:
                client.call("telemetry.query", params)
            except RpcError as error:
                if error.code != -32001:  # it is larger than the pipe takes
                    raise
        return float(resident(running.pid, "VmHWM") - before)


def stream(running: Platform, rows: int) -> float:
    """Seconds in which a pipe brings so many values."""
    return anyio.run(_stream, running.urls[1], rows)


async def _stream(url: str, rows: int) -> float:
    async with connect(url, timeout=60.0) as client:
        start = perf_counter()
        params = {"device_id": device_id(0), "value_key": BIG, "limit": rows}
        count = 0
        async with client.stream("telemetry.query", params) as points:
            async for _ in points:
                count += 1
        taken = perf_counter() - start
    if count != rows:
        raise AssertionError(f"{count} of {rows} values")
    return taken


@contextmanager
def under_load(
    running: Platform, devices: int, rate: float, count: int = REPORTS
) -> Iterator[None]:
    """Have devices talk and reports run; afterwards no device is cut and no message is lost.

    Raises:
        AssertionError: one is.
    """
    before = _messages(running)
    with connected(running, devices) as links, ExitStack() as stack:
        time.sleep(_SETTLE_SECONDS)  # a device is sent nothing before
        fleet = stack.enter_context(talking(links, rate))
        with reports(running.urls[0], count) if count else nullcontext():
            yield
        stack.close()
        if fleet.lost:
            raise AssertionError(f"{fleet.lost} devices were cut")
        deadline = perf_counter() + 30
        while (found := _messages(running) - before) < fleet.sent and perf_counter() < deadline:
            time.sleep(0.1)
        if found != fleet.sent:
            raise AssertionError(f"{found} of {fleet.sent} messages were taken")


def authentications(running: Platform, first: int, count: int) -> list[float]:
    """Seconds from connecting to being let in, ten devices at a time, in order."""
    times = []
    for _ in range(count // 10):
        with ExitStack() as stack:
            begun = []
            for number in range(first, first + 10):
                start = perf_counter()
                link = stack.enter_context(link_to(running))
                link.settimeout(60.0)
                link.sendall(auth(number))
                begun.append((link, start))
            for link, start in begun:
                check_in(link)
                times.append(perf_counter() - start)
    return sorted(times)


def commands(running: Platform, devices: int, count: int) -> list[float]:
    """Seconds of commands to devices that answer, one at a time; devices get their turns."""
    times = []
    with connect_sync(running.urls[0], timeout=60.0) as client:
        for number in range(count):
            id = device_id(number * 7 % devices)  # one may say no more than 100 messages a second
            start = perf_counter()
            outcome = client.call("command.send", {"device_id": id, "payload": {"light": "ON"}})
            times.append(perf_counter() - start)
            if outcome["status"] != "SUCCESS":
                raise AssertionError(outcome)
    return times


def backup(running: Platform) -> float:
    """Seconds of a copy, which must be sound and have all that was there before."""
    copy = running.db.with_name("copy.db")
    least = stored(running.db, plain=False)
    with connect_sync(running.urls[0], timeout=60.0) as client:
        start = perf_counter()
        client.call("platform.backup", {"path": str(copy)})
        taken = perf_counter() - start
    with closing(sqlite3.connect(copy)) as db:
        (answer,) = db.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok" or stored(copy, plain=False) < least:
        raise AssertionError(f"the copy: {answer}")
    copy.unlink()
    return taken


def _messages(running: Platform) -> int:
    with connect_sync(running.urls[0], timeout=60.0) as client:
        stats = client.call("platform.stats")
    if stats["lost"] or stats["malformed"]:
        raise AssertionError(stats)
    return int(stats["messages"]) - int(stats["responses"])
