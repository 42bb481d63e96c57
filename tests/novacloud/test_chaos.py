"""What `make chaos` finds of the nodes; a short storm over real ones is in `test_joint_nodes`."""

from pathlib import Path

from .chaos.callers import Told
from .chaos.tally import Rows, Tally, count

LAMP = "lamp"


def tally(
    folder: Path,
    happened: str,
    told: Told | None = None,
    status: str = "SUCCESS",
    stored: tuple[int, int, int] = (2, 2, 1),
) -> Tally:
    """What is found where one command was sent at 10 s, and two reports were made."""
    log = folder / "log"
    log.write_text(happened)
    rows = Rows(commands={1: (status, 10.0)} if status else {}, reports={LAMP: stored})
    given = told or Told(device_id=LAMP, begun=10.0, node="north", came_to="SUCCESS")
    return count([log], {1: given}, {LAMP: 2}, rows, [(90.0, 95.0)])


def faults(*arguments: object, **more: object) -> set[str]:
    return {*tally(*arguments, **more).faults}  # type: ignore[arg-type]


def test_what_goes_well(tmp_path: Path) -> None:
    found = tally(tmp_path, "back lamp 1.0\nlost lamp 9.0\nback lamp 11.5\n1 lamp 12.0\n")
    assert not found.faults
    assert (found.back, found.reached) == ([2.5], [0.5])
    assert (found.counts["commands"], found.counts["executed"], found.counts["reports"]) == (
        1,
        1,
        2,
    )


def test_what_must_not_be(tmp_path: Path) -> None:
    once = "back lamp 1.0\n1 lamp 10.5\n"

    def told(came_to: str, *, cancelled: bool = False) -> Told:
        return Told(device_id=LAMP, begun=10.0, node="n", came_to=came_to, cancelled=cancelled)

    assert faults(tmp_path, once + "1 lamp 10.6\n") == {"executed twice"}
    assert faults(tmp_path, "back lamp 1.0\n1 lamp 12.1\n") == {"reached late"}
    assert faults(tmp_path, "back lamp 1.0\n") == {"told wrong"}
    assert faults(tmp_path, once, stored=(3, 2, 1)) == {"stored twice"}
    assert faults(tmp_path, once, stored=(1, 1, 1)) == {"reports lost"}
    assert faults(tmp_path, once, told("QUEUED"), "EXPIRED") == {"commands lost"}
    assert faults(tmp_path, "", told("QUEUED"), "") == {"commands lost"}
    cancelled = told("QUEUED", cancelled=True)
    assert faults(tmp_path, once, cancelled, "CANCELLED") == {"done though cancelled"}
    assert faults(tmp_path, "", told("nothing: late"), "") == {"no answer"}
    assert faults(tmp_path, "", told("refused for nothing: no"), "") == {"refused for nothing"}


def test_what_is_excused(tmp_path: Path) -> None:
    assert not faults(tmp_path, "back lamp 1.0\n1 lamp 91.0\n")  # the database was away
    assert not faults(tmp_path, "", Told(device_id=LAMP, begun=1.0, node="n", came_to="gone"), "")
