"""Resident memory of the server for each idle peer: TCP against a bare anyio echo, and UDP.

Each figure is a fresh server process whose resident memory is read before and after many
connections are made, and again when each has made one call. Over UDP a peer is an address that has
made one call: first `rpc.ping`, then one that is remembered for 30 s in case it comes again. What
the kernel keeps for a socket is not part of it. Linux only: the figures come from /proc.
"""

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from ._harness import Options, Report
from ._load import REQUEST, connection
from ._servers import Server, server
from ._udp_load import NULL, PING, REMEMBERED, TRUE, Exchange, call_each, udp_link

CONNECTIONS = 2000
ADDRESSES = 5000
TARGET = 1.0
UDP_TARGET = 2048

_CALL = REQUEST % 12345
_PATIENCE = 30.0


def run(options: Options) -> Report:
    """Measure and compare."""
    count = 200 if options.quick else CONNECTIONS
    addresses = 500 if options.quick else ADDRESSES
    report = Report(
        "memory",
        [f"growth of resident memory / {count:,} idle TCP peers or {addresses:,} idle UDP peers"],
    )
    if not Path("/proc/self/smaps_rollup").exists():
        report.setup.append("skipped: this system has no /proc/<pid>/smaps_rollup")
        return report
    allow_open_files(max(2 * count, addresses) + 100)
    backends = ["asyncio"]
    if not options.quick:
        backends += [loop for loop in ("uvloop", "trio") if report.peer(loop, loop)]
    samples: dict[tuple[str, str, str], list[float]] = {}
    udp: dict[str, list[tuple[float, float]]] = {backend: [] for backend in backends}
    for _ in range(options.rounds(3, quick=1)):
        for backend in backends:
            for kind in ("ours", "echo"):
                idle, used = _measure(kind, backend, count)
                samples.setdefault((backend, kind, "connected"), []).append(idle)
                samples.setdefault((backend, kind, "after a call"), []).append(used)
            udp[backend].append(_measure_udp(backend, addresses))
    for (backend, kind, state), sizes in samples.items():
        name = {"ours": "serve", "echo": "anyio echo"}[kind]
        report.add(f"{backend}, {name}, {state}", "KiB", [size / 1024 for size in sizes])
    for backend, kind, state in samples:
        if kind == "ours":
            ours, echo = samples[backend, "ours", state], samples[backend, "echo", state]
            report.compare(f"{backend}, {state}: serve / echo", ours, echo, "<=", TARGET)
    for backend, pairs in udp.items():
        pinged, remembered = map(list, zip(*pairs, strict=True))
        for state, sizes in ("idle", pinged), ("one call remembered", remembered):
            report.add(f"{backend}, UDP, {state}", "KiB", [size / 1024 for size in sizes])
        bounds = [UDP_TARGET] * len(pinged)
        report.compare(f"{backend}, UDP, idle / 2 KiB", pinged, bounds, "<=", 1.0)
    return report


def _measure_udp(backend: str, count: int) -> tuple[float, float]:
    """Bytes of one address in a fresh server: pinged, and with one call that is remembered."""
    with ExitStack() as stack:
        running = stack.enter_context(server("udp", backend))
        ping, call = Exchange(PING, TRUE), Exchange(REMEMBERED, NULL)
        probe = stack.enter_context(udp_link(running.port))
        call_each([probe], ping)
        call_each([probe], call)
        before = resident(running)
        links = [stack.enter_context(udp_link(running.port)) for _ in range(count)]
        call_each(links, ping)
        idle = resident(running)
        call_each(links, call)
        return (idle - before) / count, (resident(running) - before) / count


def _measure(kind: str, backend: str, count: int) -> tuple[float, float]:
    """Bytes of one peer in a fresh server: connected, and after its first call."""
    with server(kind, backend) as running, connection(running.port) as probe:
        reply = _call([probe])[0]
        before = resident(running)
        files = _open_files(running)
        links = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(count)]
        try:
            _wait_for_files(running, files + count)
            for _ in range(3):
                _call([probe])  # the server gets to its newest connections before it answers
            connected = resident(running)
            if _call(links) != [reply] * count:
                raise AssertionError("wrong replies")
            called = resident(running)
        finally:
            for link in links:
                link.close()
    return (connected - before) / count, (called - before) / count


def _call(links: list[socket.socket]) -> list[bytes]:
    """Send one call on each connection, then collect the replies."""
    for link in links:
        link.sendall(_CALL)
    replies = []
    for link in links:
        reply = b""
        while not reply.endswith(b"\n"):
            data = link.recv(4096)
            if not data:
                raise AssertionError("the server hung up")
            reply += data
        replies.append(reply)
    return replies


def resident(running: Server) -> int:
    """Bytes of memory that a server takes at the moment."""
    for line in Path(f"/proc/{running.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no resident size in smaps_rollup")


def _open_files(running: Server) -> int:
    return len(os.listdir(f"/proc/{running.pid}/fd"))


def _wait_for_files(running: Server, expected: int) -> None:
    """Wait until the server has accepted every connection."""
    deadline = time.monotonic() + _PATIENCE
    while _open_files(running) < expected:
        if time.monotonic() > deadline:
            raise AssertionError("the server did not accept every connection")
        time.sleep(0.01)


def allow_open_files(wanted: int) -> None:
    """Raise the limit of files that this process, and those it starts, may open."""
    import resource  # only Unix has it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
