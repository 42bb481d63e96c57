"""Our own device conforms, over every transport, and over links that are bad."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import (
    Channel,
    Limits,
    Url,
    connect,
    register_transport,
    serve,
    transports,
)
from jsonrpc_iot import Listener as ChannelListener
from jsonrpc_iot.testing import Faults, LossyLink, virtual_radio
from jsonrpc_iot.testing.conformance import (
    as_text,
    check_conformance,
)
from tests.brokers import mosquitto
from tests.transports.certificates import Certificates

from .device import RULES, case_of, lamp, verdicts

pytestmark = pytest.mark.anyio


ELSEWHERE = {
    "framing": ("tcp", "tls", "pipe"),
    "HTTP": ("http",),
    "duplicates and late copies": ("udp", "uart", "tuya"),
    "timing": ("udp", "uart", "tuya"),
}
"""Sections that concern some transports alone."""


def expected(url: str, sections: Iterable[str]) -> dict[str, str]:
    """What is to be said of a device that does everything right."""
    found = dict.fromkeys(sections, "pass")
    for name, schemes in ELSEWHERE.items():
        if not url.startswith(schemes) or (name == "framing" and "psk" in url):
            found[name] = "not applicable"
    if url.startswith(("tuya", "http")):
        found["pipelining and floods"] = "not applicable"
    if url.startswith(("http", "mqtt")):  # where nobody is remembered
        found["subscriptions"] = "not applicable"
    if url.startswith("gatt"):
        found["calls"] = "not verified"  # what describes them does not fit
    return found


async def check_lamp(url: str, options: str = "") -> None:
    """Serve a lamp at a URL, and check it over the URL that it is reached by."""
    calls: list[str] = []
    device = lamp(lambda: calls.append("lamp.set"))
    async with serve(device, url) as server:
        (place,) = server.urls
        report = await check_conformance(f"{place}{options}", profile="full")

    assert report.ok, as_text(report)
    assert calls == []
    assert verdicts(report) == expected(url, verdicts(report))
    for section in report.sections:
        names = [case.name for case in section.cases]
        assert len(names) == len(set(names)), section.name
        assert {case.rule for case in section.cases} <= RULES


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
    await check_lamp(url.replace("DIR", str(tmp_path)))


@pytest.mark.parametrize("url", ["tls://localhost:0", "https://localhost:0/rpc"])
async def test_it_conforms_behind_tls(url: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    await check_lamp(f"{url}?cert={certificates.server}", f"?ca={certificates.ca}")


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])
async def test_it_conforms_where_messages_are_sealed(url: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(b64encode(bytes(range(32))).decode())
    await check_lamp(f"{url}?psk=file:{key}")


async def test_it_conforms_through_a_broker() -> None:
    await check_lamp(mosquitto().url())


async def test_what_answers_others_at_a_topic_is_no_fault() -> None:
    url = mosquitto().url("?version=3.1.1")  # where all answers come to one topic

    async with serve(lamp(), url), connect(url) as other, anyio.create_task_group() as tasks:

        async def call() -> None:
            while True:
                await other.call("lamp.get")

        tasks.start_soon(call)
        report = await check_conformance(url, profile="minimal")
        tasks.cancel_scope.cancel()

    assert report.ok, as_text(report)


async def test_it_conforms_over_bluetooth() -> None:
    async with virtual_radio() as radio:
        await check_lamp(radio.url("conformance-lamp"))


async def test_methods_that_are_given_twice_are_cases_of_their_own() -> None:
    async with serve(lamp(), "memory://conformance-twice") as server:
        given = [("lamp.set", '{"on":true}'), ("lamp.set", '{"on":false}')]
        report = await check_conformance(server.urls[0], methods=given)

    assert report.ok, as_text(report)
    (calls,) = (section for section in report.sections if section.name == "calls")
    names = [case.name for case in calls.cases]
    assert names[:2] == [
        "lamp.set as it was given as number 1",
        "lamp.set as it was given as number 2",
    ]
    assert len(names) == len(set(names))


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> Callable[[Faults, int], LossyLink]:
    """Makes a link whose client's end is at `x-bad://lamp`."""
    monkeypatch.setattr(transports, "_registered", {})

    def make(faults: Faults, seed: int) -> LossyLink:
        link = LossyLink(faults, seed=seed)
        register_transport("x-bad", _Client(link))
        return link

    return make


class _Client:
    def __init__(self, link: LossyLink) -> None:
        self._link = link

    async def connect(self, url: Url, limits: Limits) -> Channel:
        return self._link.client

    async def listen(self, url: Url, limits: Limits) -> ChannelListener:
        raise NotImplementedError


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_the_link_doubles_and_holds_up_is_no_fault_of_the_device(
    seed: int, bad: Callable[[Faults, int], LossyLink]
) -> None:
    link = bad(Faults(duplicate=0.3, reorder=0.2, delay_seconds=0.002), seed)
    async with serve(lamp(), link.server):
        report = await check_conformance("x-bad://lamp", profile="full")

    assert report.ok, as_text(report)
    assert link.to_client.counts.duplicated > 50
    assert verdicts(report)["duplicates and late copies"] == "pass"


async def test_what_the_link_loses_is_no_fault_of_the_device(
    bad: Callable[[Faults, int], LossyLink],
) -> None:
    link = bad(Faults(drop=0.1), 4)
    async with serve(lamp(), link.server):
        report = await check_conformance("x-bad://lamp", profile="minimal", timeout=0.3)

    assert report.ok, as_text(report)
    assert link.to_client.counts.dropped + link.to_server.counts.dropped > 3


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
