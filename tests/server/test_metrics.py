"""`GET /metrics`: text that Prometheus can read, for those who may, without holding up others."""

import gc
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from jsonrpc_iot import Dispatcher, Keyring, MethodNotFound, UsageError, connect, serve
from jsonrpc_iot.trust.keyring import bearer_token
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio

HTTP = "http://127.0.0.1:0/rpc"
HOSTILE = ['a"b', "a\\b", "a\nb", "{x}", "é\u2028", "# HELP"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def lamp() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("plain")(lambda: 1)
    return dispatcher


def _get(url: str, path: str, method: str, headers: dict[str, str]) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


async def get(
    url: str, path: str = "/metrics", method: str = "GET", **headers: str
) -> tuple[HTTPResponse, str]:
    return await anyio.to_thread.run_sync(_get, url, path, method, headers)


async def status(url: str, path: str = "/metrics", method: str = "GET", **headers: str) -> int:
    return (await get(url, path, method, **headers))[0].status


def families(text: str) -> dict[str, Metric]:
    found = list(text_string_to_metric_families(text))
    assert len({each.name for each in found}) == len(found)
    samples = [
        (each.name, *sorted(each.labels.items())) for family in found for each in family.samples
    ]
    assert len(set(samples)) == len(samples)
    for family in found:
        if family.type == "histogram":
            check_histogram(family)
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
    return {each.name: each for each in found}


def check_histogram(family: Metric) -> None:
    """As promtool has it: bounds grow, counts do not shrink, and the last is that of all."""
    buckets: dict[str, list[tuple[float, float]]] = {}
    counts: dict[str, float] = {}
    for each in family.samples:
        if each.name.endswith("_bucket"):
            pair = float(each.labels["le"]), each.value
            buckets.setdefault(each.labels["method"], []).append(pair)
        elif each.name.endswith("_count"):
            counts[each.labels["method"]] = each.value
    assert buckets.keys() == counts.keys()
    for method, pairs in buckets.items():
        assert pairs == sorted(pairs)
        assert [count for _, count in pairs] == sorted(count for _, count in pairs)
        assert pairs[-1] == (float("inf"), counts[method])


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    (sample,) = (
        each
        for family in found.values()
        for each in family.samples
        if each.name == name and each.labels == labels
    )
    return float(sample.value)


async def test_what_is_counted_is_told_at_the_root_of_each_address() -> None:
    urls = (HTTP, "http://127.0.0.1:0/deep/er/", "tcp://127.0.0.1:0", "ws://127.0.0.1:0/rpc")
    async with serve(lamp(), *urls, metrics=True) as server:
        async with connect(server.urls[2]) as client:
            await client.call("plain")
            with pytest.raises(MethodNotFound):
                await client.call("nothing")
        for url in server.urls[:2]:
            answer, text = await get(url)
            assert answer.status == 200
            assert answer.getheader("content-type") == "text/plain; version=0.0.4; charset=utf-8"
            assert answer.getheader("cache-control") == "no-store"
            found = families(text)
            assert value(found, "jsonrpc_call_seconds_count", method="plain") == 1
            unknown = value(found, "jsonrpc_errors_total", method="(unknown)", code="-32601")
            assert unknown == 1
            assert value(found, "jsonrpc_peers_joined_total", transport="tcp") == 1
            assert value(found, "jsonrpc_transport_calls_total", transport="tcp") >= 2
            assert value(found, "jsonrpc_calls_in_flight", method="plain") == 0
        assert await status(server.urls[0], method="POST") == 405
        assert await status(server.urls[0], "/metrics/deep") == 404
        assert await status(server.urls[0], "/metric") == 404
        assert await status(server.urls[0], host="evil.example.com") == 403


async def test_names_are_told_as_they_are_whatever_is_in_them() -> None:
    device = Dispatcher()
    for name in HOSTILE:
        device.method(name)(lambda: 1)
    async with serve(device, HTTP, metrics=True) as server, connect(server.urls[0]) as client:
        for name in HOSTILE:
            await client.call(name)
        found = families((await get(server.urls[0]))[1])
        for name in HOSTILE:
            assert value(found, "jsonrpc_call_seconds_count", method=name) == 1


async def test_it_is_for_those_who_have_the_permission(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    keyring = Keyring(path)
    watcher = bearer_token(keyring.add("watcher", permissions=["stats"]))
    app = bearer_token(keyring.add("app", permissions=["other"]))
    async with serve(lamp(), HTTP, keyring=keyring, metrics=True) as server:
        url = server.urls[0]
        assert await status(url) == 401
        assert await status(url, authorization=f"Bearer {app}") == 403
        assert await status(url, authorization=f"Bearer {watcher}") == 200
        assert await status(url, authorization=f"Bearer {watcher[:-2]}") == 401


async def test_the_token_of_the_url_is_enough_and_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMP", "a-secret-of-the-url")
    async with serve(lamp(), f"{HTTP}?token=env:LAMP", metrics=True) as server:
        url = server.urls[0]
        assert await status(url) == 401
        assert await status(url, authorization="Bearer a-secret-of-the-url") == 200


@pytest.mark.parametrize(
    ("urls", "problem"),
    [
        (("tcp://127.0.0.1:0",), "metrics need an http"),
        (("ws://127.0.0.1:0/rpc",), "metrics need an http"),
        (("http://127.0.0.1:0/metrics",), "use another path"),
        ((HTTP, "http://127.0.0.1:0/metrics/"), "use another path"),
    ],
)
async def test_where_there_can_be_none_is_said(urls: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        async with serve(lamp(), *urls, metrics=True):
            pass


async def test_nothing_is_told_unless_it_is_asked_for() -> None:
    async with serve(lamp(), HTTP, stats=True) as server:
        assert await status(server.urls[0]) == 404


@pytest.fixture
def without_collections() -> Iterator[None]:
    """Collect no garbage meanwhile, which takes long where many tests have run before."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collections")
async def test_a_scrape_of_thousands_of_methods_holds_up_nobody() -> None:
    device = lamp()
    async with (
        serve(device, HTTP, "memory://scraped", metrics=True) as server,
        connect("memory://scraped") as client,
    ):
        for number in range(2000):
            server._house.statistics._book.row(f"m{number}")  # type: ignore[union-attr]
        text = ""
        longest = 0.0

        async def scrape() -> None:
            nonlocal text
            text = (await get(server.urls[0]))[1]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scrape)
            while not text:
                begin = time.thread_time()
                await client.call("plain")
                longest = max(longest, time.thread_time() - begin)
    assert text.count("\n") > 2000 * 18
    assert longest < 0.1


async def test_who_asks_and_never_reads_is_in_nobodys_way() -> None:
    device = lamp()
    async with serve(device, HTTP, metrics=True) as server, connect(server.urls[0]) as client:
        book = server._house.statistics._book  # type: ignore[union-attr]
        for number in range(300):
            book.row(f"{'m' * 1000}{number}")
        parts = urlsplit(server.urls[0])
        async with await anyio.connect_tcp(str(parts.hostname), parts.port or 0) as mute:
            await mute.send(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            with anyio.fail_after(SECONDS):
                for _ in range(20):
                    await client.call("plain")
