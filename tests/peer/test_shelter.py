"""One scope for many blocks, none of which has anything to do with the others."""

from math import inf

import anyio
import pytest

from jsonrpc_iot.peer.shelter import Shelter
from tests.waiting import SECONDS

pytestmark = pytest.mark.anyio


async def test_blocks_have_one_scope() -> None:
    shelter = Shelter()
    with shelter(inf) as first:
        await anyio.lowlevel.checkpoint()
    with shelter(anyio.current_time() + SECONDS) as second:
        assert anyio.current_effective_deadline() < inf
    with shelter(inf) as third:
        assert anyio.current_effective_deadline() == inf
    assert first is second is third
    shelter.close()


@pytest.mark.parametrize("waits", [False, True])
async def test_one_that_is_cancelled_ends_it(waits: bool) -> None:
    with anyio.fail_after(SECONDS):
        shelter = Shelter()
        with shelter(inf) as scope:
            scope.cancel()
            if waits:
                await anyio.sleep_forever()
        assert shelter.is_closed
        await anyio.lowlevel.checkpoint()  # nothing of that is left


async def test_one_whose_time_is_over_ends_it() -> None:
    with anyio.fail_after(SECONDS):
        shelter = Shelter()
        with shelter(anyio.current_time() + 0.01) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert shelter.is_closed


async def test_an_error_comes_out_of_it() -> None:
    shelter = Shelter()
    with pytest.raises(ZeroDivisionError), shelter(inf):
        raise ZeroDivisionError
    assert shelter.is_closed


async def test_whoever_cancels_all_is_not_held_up() -> None:
    with anyio.CancelScope() as outer:
        shelter = Shelter()
        with shelter(inf):
            outer.cancel()
            await anyio.sleep_forever()
        pytest.fail("went on")
    assert outer.cancelled_caught
