"""The pytest plugin, as a device author uses it: each test here runs a suite of its own."""

import pytest

from .suite import PLUGIN, run

pytest_plugins = ["pytester"]


def test_a_client_on_every_loop_without_a_marker(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    seen = []

    async def test_toggle(rpc_client, anyio_backend_name):
        seen.append(anyio_backend_name)
        assert rpc_client.info.transport == "memory"
        assert await rpc_client.call("toggle") == 1

    def test_seen():
        assert seen == ["asyncio", "trio"]
    """,
    )
    result.assert_outcomes(passed=3)


def test_a_service_instance_is_a_device(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    @service("lamp")
    class Lamp:
        @method
        def level(self) -> int:
            return 40

    @pytest.fixture
    def rpc_dispatcher():
        return Lamp()

    async def test_level(rpc_client):
        assert await rpc_client.call("lamp.level") == 40
    """,
    )
    result.assert_outcomes(passed=2)


def test_one_test_over_several_links(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    links = []

    @pytest.mark.rpc_link(
        "memory", "tcp", "udp", "pipe", "unix", "tcp://localhost:0", Faults(drop=0.2), Faults(),
        seed=3, retry_seconds=0.02,
    )
    async def test_toggle(rpc_client):
        links.append(rpc_client.info.transport)
        for number in range(1, 30):
            assert await rpc_client.call("toggle") == number

    def test_seen():
        names = ["memory", "tcp", "udp", "pipe", "unix", "tcp", "lossy", "lossy"]
        assert sorted(links) == sorted(2 * names)
    """,
        "-v",
    )
    result.assert_outcomes(passed=17)
    result.stdout.fnmatch_lines(["*::test_toggle[[]trio-drop=0.2,seed=3,retry_seconds=0.02[]] *"])


def test_options_of_the_link(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    @pytest.mark.rpc_link(faults=Faults(duplicate=0.5), max_message=220, reliable=True)
    async def test_info(rpc_client, rpc_link):
        info = rpc_client.info
        assert (info.transport, info.max_message, info.reliable) == ("lossy", 220, True)
        assert rpc_link.to_server.faults == rpc_link.to_client.faults == Faults(duplicate=0.5)
        with pytest.raises(MessageTooLarge):
            await rpc_client.call("echo", ["x" * 220])
    """,
    )
    result.assert_outcomes(passed=2)


def test_the_link_is_the_one_between_device_and_client(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    async def test_link(rpc_link, rpc_client):
        assert await rpc_client.call("toggle") == 1
        rpc_link.set_faults(Faults(drop=1))
        with pytest.raises(CallTimeout):
            await rpc_client.call("toggle", timeout=0.01)
        assert rpc_link.to_server.counts.dropped
        rpc_link.cut()
        with pytest.raises(ChannelClosed):
            await rpc_client.call("toggle")

    @pytest.mark.rpc_link("tcp")
    async def test_no_link(rpc_client, rpc_link):
        pytest.fail("it ran")
    """,
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["rpc_link is a LossyLink, but the test runs over tcp: mark it*"])


def test_the_link_of_a_whole_module(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    @pytest.fixture(params=["tcp", Faults(drop=0.1)])
    def rpc_where(request):
        return request.param

    async def test_info(rpc_client, rpc_where):
        assert rpc_client.info.transport == ("tcp" if rpc_where == "tcp" else "lossy")

    @pytest.mark.rpc_link("udp")
    async def test_marked(rpc_client):
        assert rpc_client.info.transport == "udp"
    """,
    )
    result.assert_outcomes(passed=6)


@pytest.mark.parametrize("link", ["'memory'", "'pipe'", "'udp'", "Faults(drop=0.2), seed=2"])
def test_several_clients(device: pytest.Pytester, link: str) -> None:
    result = run(
        device,
        f"""
    @pytest.fixture
    def rpc_serve_options():
        return {{"authenticate": lambda channel: ["lamp:off"]}}

    @pytest.mark.rpc_link({link})
    async def test_both(rpc_server, rpc_connect, rpc_client):
        heard = []
        async with rpc_connect(timeout=5, trace=lambda *seen: heard.append(seen)) as second:
            assert await rpc_client.call("toggle", idempotent=True) >= 1
            assert await second.call("toggle", idempotent=True) >= 2
            assert len(rpc_server.peers) == 2
            assert server_hears(rpc_server)
        assert heard[0][0] == "->"
        async with rpc_connect() as third:
            assert await third.call("off", idempotent=True) is None

    def server_hears(server):
        return server.broadcast("lamp.changed", {{"on": True}}) == 2
    """,
    )
    result.assert_outcomes(passed=2)


def test_serving_within_the_test(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    @pytest.mark.rpc_link("memory", "pipe", Faults())
    def test_open(rpc_open, backend):
        async def main():
            async with rpc_open() as client, rpc_open(timeout=1) as other:
                assert await client.call("toggle") == 1
                assert await other.call("toggle") == 2

        anyio.run(main, backend=backend)
    """,
    )
    result.assert_outcomes(passed=6)


# What goes wrong


def test_no_device(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("async def test_it(rpc_client):\n    pass")
    result = pytester.runpytest_inprocess("-p", PLUGIN)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["which device shall be tested? Write a fixture `rpc_dispatcher`*"])


def test_a_device_that_is_none(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    @pytest.fixture
    def rpc_dispatcher():
        return 5

    async def test_it(rpc_client):
        pass
    """,
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*::test_it[[]asyncio[]]: *int*"])


def test_a_test_without_async(device: pytest.Pytester) -> None:
    result = run(device, "\n    def test_it(rpc_client):\n        pass")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*anyio's pytest plugin runs: write `async def`, or*rpc_device*"])


@pytest.mark.parametrize("mark", ["asyncio", "trio"])
def test_a_test_of_another_runner(device: pytest.Pytester, mark: str) -> None:
    source = f"""
    pytestmark = pytest.mark.{mark}

    async def test_it(rpc_client):
        pytest.fail("it ran")
    """
    result = run(device, source, "-o", f"markers={mark}: run by another plugin")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*mark it with @pytest.mark.anyio alone*rpc_open*"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("'carrier-pigeon'", "*rpc_link: 'carrier-pigeon' is no link: there are memory, pipe, *"),
        ("5", "*rpc_link: 5 is no link: give a name, a URL or Faults(*)*"),
        ("'tcp', seed=7", "*rpc_link: seed is for lossy links: add Faults(*)*"),
        ("speed=7", "*rpc_link: *unexpected keyword argument 'speed'*"),
    ],
)
def test_a_link_that_makes_no_sense(device: pytest.Pytester, arguments: str, reason: str) -> None:
    result = run(
        device,
        f"""
    @pytest.mark.rpc_link({arguments})
    async def test_it(rpc_client):
        pytest.fail("it ran")
    """,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([reason])
    result.stdout.no_fnmatch_line("*plugin.py:*")  # no traceback through pytest


def test_a_marker_on_a_test_of_something_else(device: pytest.Pytester) -> None:
    result = run(device, "\n    @pytest.mark.rpc_link('tcp', 'udp')\n    def test_it(): pass")
    result.assert_outcomes(passed=1)


def test_a_test_that_leaves_a_call_running_ends_at_once(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    @pytest.fixture
    def rpc_dispatcher():
        slow = Dispatcher()
        slow.method("wait")(anyio.sleep_forever)
        return slow

    @pytest.mark.rpc_link("memory", "tcp", Faults())
    async def test_it(rpc_client):
        await rpc_client.call("rpc.ping")  # so that it is known that calls can be cancelled
        with pytest.raises(CallTimeout):
            await rpc_client.call("wait", timeout=0.01)
    """,
        "--durations=0",
        "-vv",
    )
    result.assert_outcomes(passed=6)
    times = [line.split("s teardown")[0] for line in result.outlines if "s teardown" in line]
    assert times
    assert max(map(float, times)) < 0.9


# The report of a failure


def test_the_messages_of_a_failed_test(device: pytest.Pytester) -> None:
    result = run(
        device,
        r"""
    @pytest.mark.rpc_link(Faults(drop=0.1), seed=1)
    async def test_it(rpc_client):
        await rpc_client.call("echo", ["\x1b[2J \u202e \n done"])
        await rpc_client.call("echo", ["x" * 1000])
        assert False

    async def test_well(rpc_client):
        await rpc_client.call("echo", ["unheard of"])
    """,
    )
    result.assert_outcomes(failed=2, passed=2)
    result.stdout.fnmatch_lines(
        [
            "*- rpc messages -*",
            "over a lossy link (drop=0.1,seed=1), as the client sees it:",
            "to the device: * sent, *",
            "to the client: * sent, *",
            r"*0.0?? -> {*[[]2J \u202e \n done*",
            "*0.0?? <- {*done*",
            "*xxxxxxxx... (10?? bytes)",
        ]
    )
    text = result.stdout.str()
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "x" * 400 not in text
    assert "unheard of" not in text


def test_the_last_messages_of_many(device: pytest.Pytester) -> None:
    result = run(
        device,
        """
    async def test_it(rpc_client, rpc_connect):
        async with rpc_connect(extensions=True) as second:
            for number in range(100):
                await second.call("echo", [f"number {number}"])
        await rpc_client.call("echo", ["first"])
        assert False
    """,
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "over memory, as the client sees it, the last 50 of 20*:",
            "*client 2 <- *number 99*",
            "*client 1 <- *first*",
        ]
    )
    assert "number 70" not in result.stdout.str()


def test_a_test_that_fails_before_any_message(device: pytest.Pytester) -> None:
    result = run(device, "\n    def test_it(rpc_open):\n        assert False")
    result.assert_outcomes(failed=1)
    assert "rpc messages" not in result.stdout.str()
