"""Other brokers, logins, TLS, the tools of Mosquitto, and several servers behind one path."""

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from jsonrpc_iot import BindFailed, ConnectFailed, Dispatcher, connect, serve
from jsonrpc_iot.transports.mqtt import _broker
from tests import brokers
from tests._system import require_command
from tests.brokers import PASSWORD, USER, Broker, mosquitto, new_mosquitto, secret_mosquitto
from tests.places import ROOT
from tests.transports.certificates import Certificates

pytestmark = [pytest.mark.anyio, pytest.mark.only_on("asyncio")]

SECONDS = 20.0


def device() -> Dispatcher:
    dispatcher = Dispatcher()
    dispatcher.method("echo")(_echo)
    return dispatcher


def _echo(value: object) -> object:
    return value


# Versions


@pytest.mark.parametrize("broker", [brokers.nats, brokers.amqtt], ids=["nats", "amqtt"])
async def test_brokers_that_refuse_mqtt_5(broker: Callable[[], Broker]) -> None:
    url = broker().url()
    with anyio.fail_after(SECONDS):
        async with serve(device(), url) as server, connect(server.urls[0]) as client:
            assert client.info.local.endswith("/response")
            assert await client.call("echo", [1]) == 1
            async with client.notifications() as notifications:
                server.broadcast("wifi.status", {"state": 3})
                assert (await notifications.receive()).method == "wifi.status"
        with pytest.raises(BindFailed, match="share needs MQTT 5"):
            async with serve(device(), broker().url("?share=group")):
                pass
        with pytest.raises(ConnectFailed, match="Unsupported protocol version"):
            async with connect(broker().url("?version=5")):
                pass


async def test_a_broker_that_says_nothing_to_mqtt_5_is_asked_whether_it_knows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_broker, "_FIRST_ANSWER_SECONDS", 3 * SECONDS)
    with anyio.fail_after(SECONDS):
        async with serve(device(), brokers.amqtt().url()):
            pass


# Logins


@pytest.mark.parametrize("kind", ["env", "file"])
async def test_a_password(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    place = "env:BROKER_PASSWORD" if kind == "env" else f"file:{file}"
    broker = secret_mosquitto()
    url = f"mqtt://{USER}@{broker.host}{brokers.new_topic()}?password={place}"
    async with serve(device(), url) as server:
        assert server.urls == [url]
        async with connect(server.urls[0]) as client:
            assert await client.call("echo", [1]) == 1


async def test_a_refused_login_says_so_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "wrong-s3cret")
    url = f"mqtt://{USER}@{secret_mosquitto().host}/x?password=env:BROKER_PASSWORD"
    with caplog.at_level(logging.DEBUG):
        for options in ("", "&version=3.1.1"):
            with pytest.raises(BindFailed, match="the broker refuses: Not authorized") as caught:
                async with serve(device(), url + options):
                    pass
            assert "s3cret" not in str(caught.value)
        with pytest.raises(ConnectFailed, match="the broker refuses: Not authorized"):
            async with connect(mosquitto_without_login()):
                pass
    assert "s3cret" not in caplog.text


def mosquitto_without_login() -> str:
    return secret_mosquitto().url()


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Broker, Certificates]:
    """A Mosquitto that demands client certificates."""
    certificates = Certificates(tmp_path_factory.mktemp("broker-certificates"))
    configuration = (
        f"allow_anonymous true\ncafile {certificates.ca}\ncertfile {certificates.server}\n"
        f"keyfile {certificates.server}\nrequire_certificate true\n"
    )
    return new_mosquitto(configuration), certificates


async def test_tls_with_a_client_certificate(tls_broker: tuple[Broker, Certificates]) -> None:
    broker, files = tls_broker
    url = broker.url(f"?cert={files.client}&ca={files.ca}", scheme="mqtts")
    with anyio.fail_after(SECONDS):
        async with serve(device(), url) as server, connect(server.urls[0]) as client:
            assert client.info.transport == "mqtts"
            assert await client.call("echo", ["x" * 3000]) == "x" * 3000


async def test_tls_is_checked_on_both_sides(tls_broker: tuple[Broker, Certificates]) -> None:
    broker, files = tls_broker
    with anyio.fail_after(SECONDS):
        for options in (
            f"?ca={files.strange_ca}&cert={files.client}",
            f"?ca={files.ca}&cert={files.strange_client}",
            f"?ca={files.ca}",
            "",
        ):
            with pytest.raises(ConnectFailed):
                async with connect(broker.url(options, scheme="mqtts")):
                    pass


# The tools of Mosquitto


@asynccontextmanager
async def tool(name: str, topic: str, *arguments: str) -> AsyncIterator["Tool"]:
    """Run one of the tools; it is ended with the block."""
    port = str(mosquitto().port)
    command = [require_command(name), "-h", "127.0.0.1", "-p", port, "-t", topic, *arguments]
    async with await anyio.open_process(command, stdout=PIPE, stderr=PIPE) as process:
        yield Tool(process)
        if process.returncode is None:
            process.terminate()


class Tool:
    """A tool that runs."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        self._out = BufferedByteReceiveStream(process.stdout)
        self.wait = process.wait

    async def line(self) -> str:
        """The next line that it prints."""
        return (await self._out.receive_until(b"\n", 10_000)).decode()


async def test_mosquitto_pub_calls_and_mosquitto_sub_sees_replies_and_pushes() -> None:
    topic = brokers.new_topic()
    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), mosquitto().url(topic=topic)) as server,
            tool("mosquitto_sub", f"{topic}/#", "-v", "-F", "%t %p") as heard,
        ):
            assert await heard.line() == f"{topic}/online true"  # so it has subscribed
            request = '{"id":1,"method":"echo","params":["hello"]}'
            async with tool("mosquitto_pub", topic, "-m", request) as sent:
                await sent.wait()
            assert {await heard.line(), await heard.line()} == {
                f"{topic} {request}",
                f'{topic}/response {{"id":1,"result":"hello"}}',
            }
            server.broadcast("wifi.status", {"state": 3})
            push = '{"method":"wifi.status","params":{"state":3}}'
            assert await heard.line() == f"{topic}/response {push}"


@pytest.mark.parametrize("version", ["5", "311"])
async def test_mosquitto_rr_gets_its_reply(version: str) -> None:
    topic = brokers.new_topic()
    answer_at = f"{topic}/response" + ("/rr" if version == "5" else "")
    request = '{"id":"rr","method":"echo","params":[[1,2]]}'
    with anyio.fail_after(SECONDS):
        async with (
            serve(device(), mosquitto().url(topic=topic)),
            tool("mosquitto_rr", topic, "-V", version, "-e", answer_at, "-m", request) as asking,
        ):
            assert json.loads(await asking.line()) == {"id": "rr", "result": [1, 2]}


# Several servers

_WORKER = """
import os, sys
import jsonrpc_iot

dispatcher = jsonrpc_iot.Dispatcher()
dispatcher.method("who", idempotent=True)(lambda: os.getpid())
jsonrpc_iot.run(dispatcher, sys.argv[1], on_listening=lambda url: print(url, flush=True))
"""


async def test_three_servers_share_a_path_and_one_dies() -> None:
    url = mosquitto().url("?share=lamps")
    reached = mosquitto().url(topic=url.partition(mosquitto().host)[2].partition("?")[0])
    command = [sys.executable, "-c", _WORKER, url]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdout=PIPE, text=True)  # noqa: ASYNC220
        for _ in range(3)
    ]
    try:
        with anyio.fail_after(3 * SECONDS):
            for worker in workers:
                assert worker.stdout is not None
                line = await anyio.to_thread.run_sync(worker.stdout.readline)
                assert line == f"{reached}\n"  # the group is the servers' own business
            async with connect(reached, timeout=2 * SECONDS) as client:
                answers = Counter([await client.call("who") for _ in range(60)])
                assert answers.keys() == {worker.pid for worker in workers}
                assert min(answers.values()) >= 10
                workers[0].kill()
                workers[0].wait()
                with suppress(TimeoutError):  # the broker may not have noticed yet
                    await client.call("who", timeout=1.0)
                later = Counter([await client.call("who") for _ in range(40)])
                assert later.keys() == {worker.pid for worker in workers[1:]}
                assert min(later.values()) >= 10
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()


async def test_a_group_has_no_presence() -> None:
    topic = brokers.new_topic()
    with anyio.fail_after(SECONDS):
        async with serve(device(), mosquitto().url("?share=lamps", topic=topic)):
            pass
        async with tool("mosquitto_sub", f"{topic}/online", "-W", "1") as heard:
            assert await heard.wait() == 27  # its code for a time that is over without a message
        async with connect(mosquitto().url(topic=topic)):
            pass
