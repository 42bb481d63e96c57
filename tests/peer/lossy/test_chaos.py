"""A short chaos: devices that are stopped and killed behind bad links; `make chaos` is longer."""

import sys
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from jsonrpc_iot.testing import Faults

from .chaos.callers import Options
from .chaos.rows import ROWS, Plan, run_row
from .chaos.tally import Tally, count, table

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals")

PLAN = Plan(
    seconds=5.0,
    silence=0.0,
    seed=1,
    stops=1.5,
    pauses=(1.0, 2.0),
    faults=Faults(drop=0.1, duplicate=0.1, reorder=0.1, delay=0.1, delay_seconds=2.0),
)
LEAST = 25


def run_rows(folder: Path, *names: str) -> list[Tally]:
    """Run rows at the same time; what must not be is not."""
    tallies: list[Tally] = []

    async def run(name: str) -> None:
        place = folder / name.replace(" ", "-")
        place.mkdir()
        row = ROWS[name]
        options = structs.replace(row.options, timeouts=(1.5, 4.0), least=LEAST)
        if options.renew_packets:
            options = structs.replace(options, renew_packets=20)
        tallies.append(await run_row(name, structs.replace(row, options=options), PLAN, place))

    async def run_all() -> None:
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(run, name)

    anyio.run(run_all)
    faults = {tally.name: tally.faults for tally in tallies if tally.faults}
    assert not faults, table(tallies)
    for tally in tallies:
        assert tally.answered >= LEAST, table(tallies)
        assert tally.restarts or tally.name == "memory"
    return tallies


def test_nothing_runs_twice_and_nobody_is_left_without_a_word(tmp_path: Path) -> None:
    run_rows(tmp_path, "memory", "udp", "udp segments", "uart")


def test_the_same_where_links_are_sealed_moved_and_attacked(tmp_path: Path) -> None:
    for tally in run_rows(tmp_path, "sealed udp", "sealed uart"):
        if tally.name == "sealed udp":
            lives = ROWS[tally.name].callers_lives
            assert tally.sessions >= 2 * lives, "renewed with calls under way"


def test_what_the_table_counts(tmp_path: Path) -> None:
    device, callers = tmp_path / "device", tmp_path / "callers"
    device.write_text("1 m k1\n1 m k2\n1 m k2\n1 m k3\n2 m k3\n1 m k4\n2 m k4\n1 m k6\n")
    outcomes = ["right", "right", "CallTimeout", "right", "right", "wrong: 1", "nothing", None]
    lines = []
    for number, outcome in enumerate(outcomes, 1):
        lines.append(f'{{"key": "k{number}", "method": "m"}}')
        if outcome:
            lines.append(f'{{"key": "k{number}", "came_to": "{outcome}"}}')
    lines += ['{"killed": true}', '{"key": "k9", "method": "m"}']
    callers.write_text("\n".join([*lines, '{"held": {"tasks": 1}}']))

    tally = count("x", device, callers, {"k3": 1}, {"requests": 2, "tasks": 0})

    assert tally.calls == 9
    assert tally.answered == 4
    assert [each.split()[0] for each in tally.twice] == ["k2", "k4"]
    assert [each.split()[0] for each in tally.late] == ["k3"]
    assert [each.split()[0] for each in tally.lost] == ["k5", "k7"]
    assert [each.split()[0] for each in tally.wrong] == ["k6"]
    assert tally.open == ["k9"]
    assert tally.leaked == ["device: 2 requests", "caller: 1 tasks"]
    assert Options(url="").callers == 50
