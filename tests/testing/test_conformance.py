"""The conformance tester: what conforms passes, and each fault gets the right verdict."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import anyio
import pytest
from anyio.abc import Listener, SocketAttribute, SocketStream

from jsonrpc_iot import (
    Channel,
    ConnectFailed,
    Dispatcher,
    Limits,
    Url,
    UsageError,
    register_transport,
    serve,
    transports,
)
from jsonrpc_iot import Listener as ChannelListener
from jsonrpc_iot.channel.tasks import task_group
from jsonrpc_iot.testing import Faults, LossyLink
from jsonrpc_iot.testing.conformance import (
    Report,
    as_json,
    as_junit,
    as_text,
    check_conformance,
)

pytestmark = pytest.mark.anyio

Answer = Callable[[bytes], Iterable[bytes]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Dead(Exception):
    """The device has crashed."""


class HangUp(Exception):
    """The device ends the connection."""


def lamp(forbidden: Callable[[], object] = lambda: None) -> Dispatcher:
    """A device with a method that reads, and one that must not be called."""
    device = Dispatcher(title="Lamp")

    @device.method("lamp.get", effect="read")
    def get(scale: int = 1) -> dict[str, int]:
        return {"level": 40 * scale}

    @device.method("lamp.set")
    def set_(on: bool = True) -> None:
        forbidden()

    return device


def verdicts(report: Report) -> dict[str, str]:
    return {section.name: section.verdict for section in report.sections}


def failed(report: Report) -> set[str]:
    return {name for name, verdict in verdicts(report).items() if verdict == "fail"}


def case_of(report: Report, section: str, name: str) -> Any:
    (found,) = (
        case
        for each in report.sections
        if each.name == section
        for case in each.cases
        if case.name == name
    )
    return found


@pytest.mark.parametrize(
    "url",
    [
        "memory://conformance-lamp",
        "tcp://127.0.0.1:0",
        "udp://127.0.0.1:0",
        "udp://127.0.0.1:0?segment=1",
        "pipe://lamp?dir=DIR",
        "ws://127.0.0.1:0/rpc",
        "http://127.0.0.1:0/rpc",
        "uart+pty://",
        "tuya-dp+pty://?role=mcu&gap=0",
    ],
)
async def test_our_own_device_conforms_to_all_of_it(url: str, tmp_path: Path) -> None:
    calls: list[str] = []
    device = lamp(lambda: calls.append("lamp.set"))
    async with serve(device, url.replace("DIR", str(tmp_path))) as server:
        report = await check_conformance(server.urls[0], profile="full")

    assert report.ok, as_text(report)
    assert calls == []
    expected = dict.fromkeys(verdicts(report), "pass")
    if not url.startswith(("udp", "uart", "tuya")):
        expected["duplicates and late copies"] = "not applicable"
    if url.startswith(("tuya", "http")):
        expected["pipelining and floods"] = "not applicable"
    if url.startswith("tuya"):
        expected["calls"] = "not verified"  # the document does not fit
    assert verdicts(report) == expected


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_the_link_doubles_and_holds_up_is_no_fault_of_the_device(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "_registered", {})
    link = LossyLink(Faults(duplicate=0.3, reorder=0.2, delay_seconds=0.002), seed=seed)

    class Bad:
        async def connect(self, url: Url, limits: Limits) -> Channel:
            return link.client

        async def listen(self, url: Url, limits: Limits) -> ChannelListener:
            raise NotImplementedError

    register_transport("x-bad", Bad())
    async with serve(lamp(), link.server):
        report = await check_conformance("x-bad://lamp", profile="full")

    assert report.ok, as_text(report)
    assert link.to_client.counts.duplicated > 50
    assert verdicts(report)["duplicates and late copies"] == "pass"


async def test_a_larger_profile_asks_for_more() -> None:
    counts = []
    async with serve(lamp(), "memory://conformance-profiles") as server:
        for profile in ("minimal", "standard", "full"):
            report = await check_conformance(server.urls[0], profile=profile)
            assert report.ok
            counts.append(sum(len(section.cases) for section in report.sections))

    assert 10 < counts[0] < counts[1] / 2 < counts[2] / 4


async def test_a_given_method_is_called_and_is_what_is_called() -> None:
    calls: list[str] = []
    async with serve(lamp(lambda: calls.append("set")), "memory://conformance-given") as server:
        report = await check_conformance(
            server.urls[0], profile="full", methods=[("lamp.set", '{"on":true}')]
        )

    assert report.ok, as_text(report)
    assert len(calls) > 50
    assert case_of(report, "calls", "lamp.set as it was given").verdict == "pass"
    assert case_of(report, "calls", 'a wrong type of "on" for lamp.set').verdict == "pass"
    assert '"method":"lamp.set"' in case_of(report, "ids", "one").sent


# Devices that are wrong


@asynccontextmanager
async def device_that(answer: Answer, path: Path | None = None) -> AsyncIterator[str]:
    """Serve a device that gives any messages for a message; `Dead` and `HangUp` end it."""
    dead = False

    async def handle(stream: SocketStream) -> None:
        nonlocal dead
        async with stream:
            buffered = b""
            while not dead:
                try:
                    buffered += await stream.receive()
                    *lines, buffered = buffered.split(b"\n")
                    for reply in (each for line in lines for each in answer(line)):
                        await stream.send(reply + b"\n")
                except Dead:
                    dead = True
                except (HangUp, anyio.EndOfStream, anyio.BrokenResourceError):
                    return

    async with AsyncExitStack() as stack:
        if path is None:
            tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
            listener: Listener[SocketStream] = await stack.enter_async_context(tcp)
            url = f"tcp://127.0.0.1:{tcp.extra(SocketAttribute.local_port)}"
        else:
            listener = await stack.enter_async_context(await anyio.create_unix_listener(path))
            url = f"unix://{path}"
        tasks = await stack.enter_async_context(task_group())
        tasks.start_soon(listener.serve, handle)
        yield url
        tasks.cancel_scope.cancel()


def right(message: bytes) -> list[bytes]:
    """What a right device says to a message."""
    reply = _LAMP.dispatch_sync(message)
    return [] if reply is None else [reply]


_LAMP = lamp()


def parsed(message: bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return None


async def report_of(
    answer: Answer, profile: Any = "full", timeout: float = 5.0, restart: float = 0.2
) -> Report:
    async with device_that(answer) as url:
        return await check_conformance(url, profile=profile, timeout=timeout, restart=restart)


async def test_the_right_device_is_right() -> None:
    report = await report_of(right)

    assert failed(report) - {"extensions"} == set(), as_text(report)


@pytest.mark.parametrize("profile", ["minimal", "standard", "full"])
async def test_answers_to_notifications_are_a_fault(profile: str) -> None:
    def answer(message: bytes) -> list[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and "method" in value and "id" not in value:
            return [b'{"id":null,"result":true}']
        return right(message)

    report = await report_of(answer, profile)

    assert not report.ok
    assert failed(report) - {"extensions"} == {"notifications"}
    case = case_of(report, "notifications", "of a method")
    assert case.verdict == "fail"
    assert case.received == '{"id":null,"result":true}'


@pytest.mark.parametrize("profile", ["minimal", "standard"])
async def test_ids_as_text_are_a_fault(profile: str) -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        for reply in right(message):
            value = json.loads(reply)
            if isinstance(value, dict) and value["id"] is not None:
                value["id"] = str(value["id"])
            yield json.dumps(value).encode()

    report = await report_of(answer, profile)

    assert {"answers", "ids"} <= failed(report)
    assert case_of(report, "ids", "one").why == "id '1', not 1"
    assert case_of(report, "ids", "text-one").verdict == "pass"
    assert verdicts(report)["notifications"] == "pass"


@pytest.mark.parametrize("profile", ["minimal", "standard"])
async def test_bad_json_that_kills_is_a_fault_and_the_rest_not_verified(profile: str) -> None:
    def answer(message: bytes) -> list[bytes]:
        if parsed(message) is None:
            raise Dead
        return right(message)

    report = await report_of(answer, profile)

    assert failed(report) == {"parsing and recovery"}
    first = case_of(report, "parsing and recovery", "goes on after: truncated")
    assert (first.verdict, first.received) == ("fail", "")
    assert verdicts(report)["ids"] == "pass"
    assert verdicts(report)["notifications"] == "not verified"
    assert "does not answer any more" in case_of(report, "notifications", "of a method").why


async def test_a_batch_that_kills_is_a_fault() -> None:
    def answer(message: bytes) -> list[bytes]:
        if isinstance(parsed(message), list):
            raise Dead
        return right(message)

    minimal = await report_of(answer, "minimal")
    standard = await report_of(answer, "standard")

    assert minimal.ok, as_text(minimal)
    assert failed(standard) == {"batches"}
    assert verdicts(standard)["ids"] == "pass"
    assert verdicts(standard)["notifications"] == "not verified"


async def test_a_device_that_starts_anew_after_a_fault_is_checked_further() -> None:
    starts = 0

    def answer(message: bytes) -> list[bytes]:
        nonlocal starts
        if parsed(message) == 1:
            starts = 3
        if starts:
            starts -= 1
            raise HangUp
        return right(message)

    report = await report_of(answer, "standard", restart=20)

    assert failed(report) == {"parsing and recovery"}
    case = case_of(report, "parsing and recovery", "the scalar 1")
    assert (case.verdict, case.why) == ("fail", "the connection ended")
    assert case_of(report, "parsing and recovery", "the scalar null").verdict == "pass"
    assert verdicts(report)["notifications"] == "pass"


async def test_who_never_answers_is_not_there() -> None:
    with pytest.raises(ConnectFailed, match="nobody answers within"):
        await report_of(lambda message: (), timeout=0.05)


async def test_nobody_is_there_over_http() -> None:
    with pytest.raises(ConnectFailed, match="nothing was answered"):
        await check_conformance("http://127.0.0.1:1/rpc")


async def test_who_hangs_up_at_once_is_not_there() -> None:
    def answer(message: bytes) -> list[bytes]:
        raise Dead

    with pytest.raises(ConnectFailed, match="nothing was answered"):
        await report_of(answer)


async def test_a_batch_that_is_answered_one_by_one_is_a_fault() -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, list) and value:
            for each in value:
                yield from right(json.dumps(each).encode())
        else:
            yield from right(message)

    report = await report_of(answer, "standard")

    assert failed(report) == {"batches"}
    assert case_of(report, "batches", "two requests").verdict == "fail"
    assert case_of(report, "batches", "notifications alone").verdict == "pass"


async def test_a_device_without_batches_lacks_them_in_the_full_profile_alone() -> None:
    def answer(message: bytes) -> list[bytes]:
        if isinstance(parsed(message), list):
            return [b'{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}']
        return right(message)

    standard = await report_of(answer, "standard")
    full = await report_of(answer, "full")

    assert standard.ok, as_text(standard)
    assert verdicts(standard)["batches"] == "not applicable"
    assert verdicts(full)["batches"] == "fail"


async def test_a_megabyte_where_64_kilobytes_are_the_most_is_a_fault(tmp_path: Path) -> None:
    def answer(message: bytes) -> Iterable[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and value.get("id") == "1":
            yield b'{"id":"1","result":"%s"}' % (b"x" * 1_000_000)
        else:
            yield from right(message)

    async with device_that(answer, tmp_path / "socket") as url:
        report = await check_conformance(url)

    assert failed(report) == {"sizes"}
    assert "65536 are the most" in case_of(report, "sizes", "what the device sends").why
    assert len(as_json(report)) < 200_000


async def test_a_device_of_json_rpc_2_0_alone_is_spoken_to_in_it() -> None:
    def answer(message: bytes) -> list[bytes]:
        value = parsed(message)
        if isinstance(value, dict) and "jsonrpc" not in value and "id" in value:
            id = json.dumps(value["id"])
            error = '{"code":-32600,"message":"Invalid Request"}'
            return [f'{{"jsonrpc":"2.0","id":{id},"error":{error}}}'.encode()]
        return right(message)

    report = await report_of(answer, "standard")

    assert report.ok, as_text(report)
    assert '"jsonrpc":"2.0"' in case_of(report, "ids", "one").sent


# Reports


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


async def test_there_is_no_other_profile() -> None:
    with pytest.raises(UsageError, match="there are minimal, standard, full"):
        await check_conformance("tcp://127.0.0.1:1", profile="best")  # type: ignore[arg-type]


async def test_messagepack_is_not_checked() -> None:
    url = "memory://conformance-packed?codec=msgpack"
    async with serve(lamp(), url):
        with pytest.raises(UsageError, match="leave"):
            await check_conformance(url)
