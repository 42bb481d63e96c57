"""Clients that were made call the devices that described themselves."""

import inspect
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from msgspec import Struct

from jsonrpc_iot import (
    Dispatcher,
    Event,
    RpcError,
    connect,
    connect_sync,
    method,
    notification,
    serve,
    service,
)
from jsonrpc_iot.generate.document import read_document
from jsonrpc_iot.generate.typescript import write_typescript
from jsonrpc_iot.novacloud import NovaPlatform, SqliteStore, UnknownDevice, management
from jsonrpc_iot.services import System
from jsonrpc_iot.services.wifi import SimulatedWifi
from tests._system import require_command
from tests.cli.program import serving
from tests.places import ROOT
from tests.waiting import SECONDS

from .documents import describe, example, including, own_devices
from .made import HEADER, loaded, python
from .node import compiled, flags_for_sockets, ran


class Dry(RpcError):
    code = 2001
    message = "Dry"


class Level(Struct, rename="kebab"):
    per_cent: float
    of: str = "tank"


PARAMS: dict[str, list[object]] = {"lamp_set": [40], "app_ask": ["May I?"], "light_switch": [True]}
"""Of methods that need some, where a device has no other ones."""


@service("tank")
class Tank:
    changed = Event[Level]()

    def __init__(self) -> None:
        self.cancelled = anyio.Event()

    @method(errors=[Dry], names={"from_": "from"})
    async def fill(self, from_: float, to: float = 100) -> Level:
        if from_ < 0:
            raise Dry(data={"from": from_})
        self.changed.emit(Level(to))
        return Level(to)

    @method
    async def measure(self, times: int) -> AsyncIterator[Level]:
        try:
            for number in range(times):
                yield Level(number)
                if number == 500:
                    await anyio.sleep_forever()
        finally:
            self.cancelled.set()

    @method
    async def wait(self) -> None:
        await anyio.sleep_forever()

    @notification
    async def empty(self) -> None:
        self.changed.emit(Level(0))


@pytest.mark.anyio
async def test_with_await() -> None:
    tank = Tank()
    made = loaded(python(describe(including(tank)), "Reservoir", "tank"))
    url = "tcp://127.0.0.1:0"
    with anyio.fail_after(SECONDS):
        async with serve(including(tank), url) as server, connect(server.urls[0]) as client:
            proxy = client.proxy(made.Reservoir)
            async with proxy.changed.values() as values:
                assert await proxy.fill(1, to=40) == made.Level(per_cent=40)
                assert await values.receive() == made.Level(per_cent=40)
                await proxy.empty()
                assert (await values.receive()).per_cent == 0
            with pytest.raises(made.Dry) as caught:
                await proxy.fill(from_=-1)
            assert caught.value.data == {"from": -1}
            async with proxy.measure(1000) as levels:
                seen = [(await anext(levels)).per_cent for _ in range(3)]
            assert seen == [0, 1, 2]
            await tank.cancelled.wait()


def test_without_async() -> None:
    document = describe(including(SimulatedWifi(), System("lamp")))
    made = loaded(python(document, "Device", blocking=True))
    with serving("simulate", "--bind", "tcp://127.0.0.1:0") as (url,), connect_sync(url) as client:
        proxy = client.proxy(made.Device, made.BlockingDevice)
        assert proxy.echo({"a": 1}) == {"a": 1}
        assert proxy.sys_info().name == "simulated-device"
        assert {type(each) for each in proxy.wifi_scan()} == {made.AccessPoint}
        with pytest.raises(made.NetworkNotFound):
            proxy.wifi_connect("nowhere")
        assert isinstance(proxy.wifi_status().state, made.WifiState)


@pytest.mark.anyio
async def test_the_platform(tmp_path: Path) -> None:
    async with NovaPlatform(SqliteStore(tmp_path / "nova.sqlite"), port=0) as platform:
        dispatcher = management(platform)
        made = loaded(python(describe(dispatcher), "Nova"))
        async with serve(dispatcher, "memory://nova"), connect("memory://nova") as client:
            nova = client.proxy(made.Nova)
            created = await nova.device_create("lamp")
            found = await nova.device_get(created.device_id)
            assert (found.name, found.online) == ("lamp", False)
            assert [each.name async for each in nova.device_list()] == ["lamp"]
            with pytest.raises(made.UnknownDevice) as caught:
                await nova.device_get("nobody")
            assert caught.value.code == UnknownDevice.code


def test_each_device_of_this_repository_answers_its_client() -> None:
    for name, device in own_devices().items():
        assert anyio.run(names_answered, device), name


async def names_answered(device: Dispatcher) -> list[str]:
    """The methods that a client which was made for a device has called."""
    made = loaded(python(describe(device), "Made")).Made
    answered = []
    async with serve(device, "memory://made"), connect("memory://made") as client:
        proxy = client.proxy(made)
        for name, function in inspect.getmembers(made, inspect.iscoroutinefunction):
            if name in PARAMS or takes_nothing(function):
                with suppress(RpcError):  # an answer too; a result that does not fit is none
                    await getattr(proxy, name)(*PARAMS.get(name, ()))
                answered.append(name)
    return answered


def takes_nothing(function: Callable[..., object]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return all(each.default is not each.empty for each in parameters)


def blinds_device() -> Dispatcher:
    return including(example("blinds_device")["SimulatedBlinds"]())


NODE = "declare const process: { argv: string[] };\n"
MAIN = f'import {{ main }} from "./page.js";\n{NODE}await main(process.argv[2] ?? "");'


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs in TypeScript, and that of the page, are compiled."""
    folder = tmp_path_factory.mktemp("typescript")
    tank = read_document(describe(including(Tank())), "tank")
    blinds = read_document(describe(blinds_device()), "blinds")
    calls, listen = (
        NODE + Path(__file__).with_name(f"{name}.ts").read_text(encoding="utf-8")
        for name in ("calls", "listen")
    )
    page = (ROOT / "docs" / "generated-clients.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```ts\n(.*?)```", page, re.DOTALL)
    found = compiled(
        request,
        folder,
        {
            "tank": write_typescript(tank, HEADER, "Tank", "tank"),
            "calls": calls,
            "listen": listen,
            "blinds": write_typescript(blinds, HEADER, None, "blinds"),
            "page": snippet,
            "main": MAIN,
        },
    )
    assert found.complaints == []
    return folder


@pytest.mark.timeout(300)
def test_in_node(folder: Path, anyio_loop: BlockingPortal) -> None:
    tank = including(Tank())
    urls = ["http://127.0.0.1:0/rpc", "ws://127.0.0.1:0/rpc"]
    with anyio_loop.wrap_async_context_manager(serve(tank, *urls)) as server:
        flags = flags_for_sockets()
        for url in server.urls:
            assert ran(folder, "calls.js", url, flags=flags) == "ok\n", url
    with anyio_loop.wrap_async_context_manager(serve(blinds_device(), urls[1])) as server:
        lines = ran(folder, "main.js", server.urls[0], flags=flags).splitlines()
    assert sorted(lines) == sorted(
        ["moved to 10", "news 10", "passes 30", "news 30", "passes 50", "news 50"]
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_what_a_page_listens_to_outlives_the_device(
    folder: Path, anyio_loop: BlockingPortal, scheme: str
) -> None:
    flags = flags_for_sockets()
    lines: Queue[str] = Queue()
    with ExitStack() as stack:
        url = f"{scheme}://127.0.0.1:0/rpc"
        for level in (10, 20, 100):
            tank = Tank()
            with anyio_loop.wrap_async_context_manager(serve(including(tank), url)) as server:
                if level == 10:
                    url = server.urls[0]  # the same one from now on
                    stack.enter_context(printing(lines, folder, "listen.js", url, flags=flags))
                heard = ""
                while float(heard or 0) != level:
                    anyio_loop.call(tank.changed.emit, Level(level))
                    with suppress(Empty):
                        heard = lines.get(timeout=0.05)


def hand_on(stream: Iterable[str], lines: Queue[str]) -> None:
    for line in stream:
        lines.put(line)


@contextmanager
def printing(lines: Queue[str], folder: Path, *words: str, flags: list[str]) -> Iterator[None]:
    """Run a compiled program, which must end, and have its lines put into a queue."""
    command = [require_command("node"), *flags, *words]
    with subprocess.Popen(
        command, cwd=folder / "made", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        pump = threading.Thread(target=hand_on, args=(process.stdout, lines))
        pump.start()
        try:
            yield
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            pump.join()


@pytest.fixture
def anyio_loop() -> Iterator[BlockingPortal]:
    """An event loop in another thread."""
    with start_blocking_portal() as portal:
        yield portal
