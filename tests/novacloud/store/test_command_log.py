"""What every `CommandLog` has to do."""

import pytest

from jsonrpc_iot.novacloud import Store
from jsonrpc_iot.novacloud.store.command_log import CommandStatus

from .rows import A, B, command, row

pytestmark = pytest.mark.anyio


async def test_the_commands_of_a_broadcast(store: Store) -> None:
    await store.create_device(row())
    await store.write([], [command(f"{number}", job_id="job") for number in range(5)])
    await store.write([], [command("other"), command("another", job_id="other")])
    first = await store.job_page("job", None, 2)
    rest = await store.job_page("job", first[-1].command_id, 10)
    assert [each.command_id for each in first + rest] == ["0", "1", "2", "3", "4"]
    states = await store.job_states("job")
    assert sorted(states) == [(f"{number}", CommandStatus.QUEUED) for number in range(5)]


async def test_commands(store: Store) -> None:
    await store.create_device(row())
    await store.write([], [command("one"), command("two")])
    done = command("one", status=CommandStatus.SUCCESS, payload={"a": 1}, finished=3.0)
    await store.write([], [done])
    await store.write([], [command("one", status=CommandStatus.TIMEOUT, finished=4.0)])
    assert await store.command("one") == done
    assert await store.command("three") is None
    assert await store.commands() == [command("two"), done]
    assert await store.commands(A, limit=1) == [command("two")]
    assert await store.commands(B) == []
    assert await store.commands(open_only=True) == [command("two")]
