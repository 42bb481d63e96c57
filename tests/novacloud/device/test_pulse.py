"""How often a device gives signs of life, on good lines and on bad ones."""

import anyio
import pytest

from jsonrpc_iot import UsageError
from jsonrpc_iot.novacloud import NovaDevice
from jsonrpc_iot.novacloud.device.pulse import Pulse
from tests.novacloud.scripted import ID, KEY, Platform, connected


def test_two_losses_make_a_bad_line_and_an_hour_a_good_one() -> None:
    pulse = Pulse(60, 30)
    pulse.lose(1000)
    assert pulse.seconds(1000) == 60
    pulse.lose(1600)  # too long after
    assert pulse.seconds(1600) == 60
    pulse.lose(2100)
    assert (pulse.seconds(2100), pulse.seconds(5699), pulse.seconds(5700)) == (30, 30, 60)


def test_a_bad_line_stays_bad_with_each_loss() -> None:
    pulse = Pulse(60, 30)
    for now in (0, 1, 3500):
        pulse.lose(now)
    assert (pulse.seconds(7099), pulse.seconds(7100)) == (30, 60)
    pulse.lose(7100)
    assert pulse.seconds(7100) == 60


def test_without_the_option_nothing_changes() -> None:
    pulse = Pulse(60)
    for now in range(5):
        pulse.lose(now)
    assert pulse.seconds(5) == 60


@pytest.mark.parametrize("seconds", [29.9, 60, 90, float("nan")])
def test_never_more_often_than_the_guide_allows(seconds: float) -> None:
    with pytest.raises(UsageError, match="bad_line_heartbeat"):
        NovaDevice("127.0.0.1", 1, device_id=ID, device_key=KEY, bad_line_heartbeat=seconds)


@pytest.mark.anyio
async def test_a_connection_that_is_lost_twice_is_a_bad_line() -> None:
    async with connected(heartbeat=90, bad_line_heartbeat=30) as (device, first, platform):
        pulse = device._connection._pulse
        far = first
        for seconds in (90, 90, 30):
            assert pulse.seconds(anyio.current_time()) == seconds
            far.reset()
            far = await platform.admit()


@pytest.mark.anyio
async def test_a_platform_that_says_goodbye_makes_no_bad_line() -> None:
    async with connected(heartbeat=90, bad_line_heartbeat=30) as (device, first, platform):
        far = first
        for _ in range(3):
            far.socket.close()
            far = await platform.admit()
        await device.connected()
        assert device._connection._pulse.seconds(anyio.current_time()) == 90


@pytest.mark.anyio
async def test_heartbeats_follow_the_line() -> None:
    platform = Platform()
    device = platform.device()
    pulse = device._connection._pulse = Pulse(3600, 0.02)
    for _ in range(2):
        pulse.lose(anyio.current_time())
    async with device:
        far = await platform.admit()
        for _ in range(3):
            assert await far.read() == {"type": "heartbeat"}
    platform.close()
