"""Programs that end without closing, or in the middle of something: at once, and without a word."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.waiting import SECONDS

from .rig import Rig, running

# The client gives up after 3 s what does not end; a busy machine takes its time besides. What keeps
# a program does so for ever.
PROMPT_SECONDS = 8.0

# In development mode asyncio warns of every step that takes long, as all do on a busy machine.
BEGIN = """
import logging, signal, sys, threading, time
from jsonrpc_iot import ChannelClosed, connect_sync
logging.getLogger("asyncio").setLevel(logging.ERROR)
url = sys.argv[1]
device = connect_sync(url)
device.call("rpc.ping")
"""
# From here on a program shall be quick; what it does before may take its time on a busy machine.
READY = "\nprint('ready', flush=True)\n"


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running() as rig:
        yield rig


@contextmanager
def program(source: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that uses a blocking client, and is `READY` if it says so.

    Warnings are errors, and development mode is on.
    """
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", source, *arguments]
    with subprocess.Popen(
        command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            if READY in source:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line == b"ready\n", process.communicate(timeout=SECONDS)
            yield process
        finally:
            process.kill()


def output(process: "subprocess.Popen[bytes]") -> tuple[str, str]:
    """What it still prints until it ends, which is soon."""
    begin = time.monotonic()
    out, errors = process.communicate(timeout=SECONDS)
    assert time.monotonic() - begin < PROMPT_SECONDS
    return out.decode(), errors.decode()


@pytest.mark.parametrize(
    "source",
    [
        "",
        "device.notify('note', ['bye'])",
        "del device",
        "device.close(); device.close()",
        "feed = device.notifications(); device.on('x')(lambda: None)",
        "batch = device.batch(); batch.__enter__(); batch.call('add', [1, 2])",
        "stream = device.stream('slowly', [5]); next(stream)",
        "more = [connect_sync(url) for _ in range(20)]",
        "connect_sync(url, reconnect=True)",
        "device.cycle = device",
        "import atexit; atexit.register(lambda: print(device.call('add', [1, 2])))",
        "threading.Thread(target=lambda: device.call('add', [1, 2])).start()",
        "import anyio; anyio.run(anyio.to_thread.run_sync, device.call, 'rpc.ping')",
    ],
)
def test_a_program_that_does_not_close_ends_without_a_word(rig: Rig, source: str) -> None:
    with program(BEGIN + source + READY, rig.url) as process:
        out, errors = output(process)
    assert (process.returncode, errors) == (0, "")
    assert out == ("3\n" if "atexit" in source else "")
    if "bye" in source:
        assert rig.next() == "bye"


@pytest.mark.parametrize(
    "wait",
    [
        "device.call('hold', timeout=None)",
        "list(device.stream('hold', timeout=None))",
        "device.notifications().receive()",
        "[each for each in device.notifications()]",
    ],
)
def test_daemon_threads_that_wait_for_ever_do_not_keep_it(rig: Rig, wait: str) -> None:
    source = f"""
def work():
    began.set()
    {wait}
    print("went on")
began = threading.Event()
threading.Thread(target=work, daemon=True).start()
began.wait()
device.call("add", [1, 2])
"""
    with program(BEGIN + source + READY, rig.url) as process:
        out, errors = output(process)
    assert (process.returncode, out, errors) == (0, "", "")


def test_daemon_threads_that_call_all_the_while_do_not_keep_it(rig: Rig) -> None:
    source = """
def work():
    while True:
        device.call("add", [1, 2])
        started.set()
started = threading.Event()
for _ in range(5):
    threading.Thread(target=work, daemon=True).start()
started.wait()
"""
    with program(BEGIN + source + READY, rig.url) as process:
        out, errors = output(process)
    assert (process.returncode, out, errors) == (0, "", "")


def test_an_exception_in_the_block_is_all_that_is_printed(rig: Rig) -> None:
    with program(f"{BEGIN}{READY}with device:\n    1 / 0", rig.url) as process:
        _, errors = output(process)
    assert process.returncode == 1
    assert errors.count("Traceback") == 1
    assert errors.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("wait", "began"),
    [
        ("device.call('hold', timeout=None)", ("began", None)),
        ("list(device.stream('endless', timeout=None))", "began"),
        ("device.call('hold', timeout=None)  # in a block", ("began", None)),
    ],
)
def test_ctrl_c_cancels_the_call_and_ends_the_program(rig: Rig, wait: str, began: object) -> None:
    block = "with device:" if "block" in wait else "if True:"
    with program(f"{BEGIN}\n{block}\n    {wait}", rig.url) as process:
        assert rig.next() == began
        process.send_signal(signal.SIGINT)
        _, errors = output(process)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert rig.next() in {("cancelled", None), "cancelled"}


def test_ctrl_c_leaves_the_client_as_good_as_new(rig: Rig) -> None:
    source = """
with device.notifications() as news:
    try:
        print("waiting", flush=True)
        news.receive()
    except KeyboardInterrupt:
        print(device.call("add", [1, 2]), flush=True)
    print(news.receive().method)
"""
    with program(BEGIN + source, rig.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"3\n"
        rig.broadcast("door.opened")
        out, errors = output(process)
    assert (process.returncode, out, errors) == (0, "door.opened\n", "")


def test_ctrl_c_while_connecting(rig: Rig) -> None:
    source = """
import socket
full = socket.create_server(("127.0.0.1", 0), backlog=0)
fill = [socket.socket() for _ in range(4)]
for each in fill:
    each.setblocking(False)
    each.connect_ex(full.getsockname())
signal.signal(signal.SIGALRM, signal.default_int_handler)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    connect_sync("tcp://127.0.0.1:%d" % full.getsockname()[1], connect_timeout=None)
finally:
    for each in (full, *fill):
        each.close()
"""
    with program(BEGIN + READY + source, rig.url) as process:
        _, errors = output(process)
    assert process.returncode == -signal.SIGINT
    assert "connect_sync" in errors
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_an_event_loop_that_is_held_up_does_not_keep_it(rig: Rig) -> None:
    source = """
held = threading.Event()
def trace(arrow, message):
    held.set()
    threading.Event().wait()
threading.Thread(target=connect_sync, args=(url,), kwargs={"trace": trace}, daemon=True).start()
held.wait()
"""
    with program(BEGIN + source + READY, rig.url) as process:
        _, errors = output(process)
    assert (process.returncode, errors) == (0, "")


def test_sys_exit_in_the_event_loop_ends_the_clients(rig: Rig) -> None:
    source = """
@device.on("leave")
async def leave():
    sys.exit(3)
try:
    device.notify("note", ["ready"])
    device.call("hold", timeout=None)
except ChannelClosed:
    print("closed")
print(connect_sync(url).call("add", [1, 2]))
"""
    with program(BEGIN + source, rig.url) as process:
        assert rig.next() == "ready"
        rig.broadcast("leave")
        out, _ = output(process)
    assert (process.returncode, out) == (0, "closed\n3\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_connects_for_itself(rig: Rig) -> None:
    source = """
import os
child = os.fork()
if child == 0:
    try:
        device.call("rpc.ping")
    except ChannelClosed:
        device.close()
        with connect_sync(url) as own:
            own.notify("note", [own.call("add", [1, 2])])
    sys.exit()
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, device.call("add", [2, 2]))
"""
    with program(BEGIN + READY + source, rig.url) as process:
        assert output(process) == ("0 4\n", "")
    assert rig.next() == 3
