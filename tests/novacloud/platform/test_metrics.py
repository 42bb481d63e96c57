"""What Prometheus is told of a platform."""

from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from jsonrpc_iot.novacloud.platform.metrics import Metrics
from tests.novacloud.rig import Rig, running

pytestmark = pytest.mark.anyio


async def families(metrics: Metrics) -> dict[str, Metric]:
    found = list(text_string_to_metric_families(await metrics.text()))
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    (sample,) = (
        each
        for family in found.values()
        for each in family.samples
        if each.name == name and each.labels == labels
    )
    return float(sample.value)


async def test_the_counts_of_a_platform_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        metrics = Metrics(rig.platform)
        lamp = await rig.create(t="number")
        await rig.create("bell")
        async with rig.link({**lamp, "device_key": "x" * 32}) as stranger:
            assert (await stranger.authenticate())["status"] == "error"
        async with rig.device(lamp) as device:
            await device.data(t=1, u=2)
            await rig.until_stat("values")
            for status in ("success", "error"):
                command = await rig.call(
                    "command.send", device_id=lamp["device_id"], payload={"light": 1}, wait=False
                )
                await device.answer(status)
                await rig.call("command.get", command_id=command["command_id"])
            await rig.until_stat("responses", 2)
            found = await families(metrics)
    stats = {
        name.removeprefix("novacloud_"): family.samples[0].value
        for name, family in found.items()
        if family.type == "counter" and not family.samples[0].labels
    }
    assert stats.items() >= {"values": 1, "unknown_values": 1, "failed_auths": 1}.items()
    assert stats.items() >= {"connections": 2, "messages": 3, "responses": 2}.items()
    assert value(found, "novacloud_devices") == 2
    assert value(found, "novacloud_devices_online") == 1
    assert value(found, "novacloud_devices_connected") == 1
    assert value(found, "novacloud_open_connections") >= 1
    assert value(found, "novacloud_commands_finished_total", status="SUCCESS") == 1
    assert value(found, "novacloud_commands_finished_total", status="ERROR") == 1
    assert value(found, "novacloud_commands", status="QUEUED") == 0
    assert value(found, "novacloud_ready") == 1
    assert value(found, "novacloud_database_size_bytes") > 0
    assert value(found, "novacloud_database_log_size_bytes") > 0
    assert value(found, "novacloud_disk_free_bytes") > 0
    assert value(found, "process_open_fds") > 3
    assert value(found, "process_max_fds") > 3
    assert 1 << 20 < value(found, "process_resident_memory_bytes") < 1 << 34
    count = value(found, "novacloud_commit_seconds_count")
    assert count >= 1
    assert value(found, "novacloud_commit_seconds_bucket", le="+Inf") == count


async def test_every_count_of_the_platform_has_a_text(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        found = await families(Metrics(rig.platform))
        for name in rig.platform.counts.totals:
            assert found[f"novacloud_{name}"].type == "counter"
    for family in found.values():
        assert family.name.startswith(("novacloud_", "process_"))
        assert family.documentation.endswith(".")
        assert family.type != "unknown"


async def test_what_devices_do_makes_it_no_longer(tmp_path: Path) -> None:
    async def shape(rig: Rig) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        found = await families(Metrics(rig.platform))
        return {
            (each.name, tuple(each.labels.items()))
            for family in found.values()
            for each in family.samples
        }

    async with running(tmp_path) as rig:
        before = await shape(rig)
        for number in range(20):
            info = await rig.create(f"lamp {number}")
            async with rig.device(info) as device:
                await device.data(**{f"key {number} {each}": 1 for each in range(20)})
                await device.send_raw(b"nonsense\n")
                await rig.until_stat("malformed", number + 1)
        assert await shape(rig) == before
