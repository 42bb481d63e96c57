"""The service `files` in C, on flash whose power goes at every step."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from jsonrpc_iot import ChannelInfo
from jsonrpc_iot.services.files.room import is_small, read_room

from .desk import driven
from .flash import SECTOR, Device, PowerCut, Refused, digest, get, put, send

pytestmark = pytest.mark.firmware

PLACE = 2 * SECTOR
OLD, NEW = (bytes(range(start, start + 200)) * 9 for start in (0, 50))


@pytest.fixture
def device(flash_program: Path) -> Iterator[Device]:
    """A device that has started for the first time."""
    with driven(flash_program) as driver:
        device = Device(driver)
        device.start()
        yield device


def names(device: Device) -> set[str]:
    return {each["name"] for each in device.call("files.list")}


def begin(device: Device, name: str, data: bytes) -> dict[str, object]:
    begun: dict[str, object] = device.call(
        "files.begin", name=name, size=len(data), sha256=digest(data)
    )
    return begun


def refused(device: Device, method: str, **params: object) -> Refused:
    with pytest.raises(Refused) as caught:
        device.call(method, **params)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, SECTOR - 1, SECTOR, SECTOR + 1, PLACE])
def test_a_file_comes_and_goes(device: Device, size: int) -> None:
    data = NEW[:size] + bytes(max(0, size - len(NEW)))
    put(device, "logs/today.txt", data)
    info = {"name": "logs/today.txt", "size": size, "sha256": digest(data)}
    assert device.call("files.list") == [info]
    assert device.call("files.list", path="logs") == [info]
    assert device.call("files.list", path="log") == []
    assert device.call("files.stat", name="logs/today.txt") == info
    assert get(device, "logs/today.txt") == data
    assert device.call("files.delete", name="logs/today.txt") is None
    assert device.call("files.list") == []
    assert refused(device, "files.stat", name="logs/today.txt").code == 3001


def test_pieces_of_any_size(device: Device) -> None:
    for chunk in (8, 9, 31, 100, 500):
        put(device, "a", NEW, replace=True, chunk=chunk)
        assert get(device, "a") == NEW
        put(device, "a", OLD, replace=True, chunk=chunk)
        assert get(device, "a") == OLD


def test_a_write_may_come_twice_or_too_early(device: Device) -> None:
    transfer = begin(device, "a", NEW)["transfer"]

    def write(offset: int, data: bytes) -> int:
        text = base64.b64encode(data).decode()
        answer = device.call("files.write", transfer=transfer, offset=offset, data=text)
        there: int = answer["offset"]
        return there

    assert write(0, NEW[:16]) == 16
    assert write(0, NEW[:16]) == 16
    assert write(32, NEW[32:48]) == 16
    assert write(16, b"") == 16
    for wrong in (
        {"offset": 16, "data": "AAA"},
        {"offset": 16, "data": "AA=="},  # less than the flash writes at once
        {"offset": -1, "data": ""},
        {"offset": 16, "data": base64.b64encode(bytes(700)).decode() * 2},
        {"offset": 0},
    ):
        assert refused(device, "files.write", transfer=transfer, **wrong).code == -32602
    assert refused(device, "files.write", transfer=99, offset=0, data="").code == -32602
    error = refused(device, "files.commit", transfer=transfer)
    assert (error.code, error.data["offset"], error.data["size"]) == (-32602, 16, len(NEW))
    send(device, NEW, "files.write", begin(device, "a", NEW))
    assert (
        refused(device, "files.write", transfer=transfer, offset=1800, data="AA==").code == -32602
    )
    for _ in range(2):
        assert device.call("files.commit", transfer=transfer) == {"sha256": digest(NEW)}
    assert begin(device, "a", NEW)["transfer"] is None


def test_what_is_not_what_was_announced_is_forgotten(device: Device) -> None:
    begun = device.call("files.begin", name="a", size=len(NEW), sha256=digest(OLD))
    send(device, NEW, "files.write", begun)
    assert refused(device, "files.commit", transfer=begun["transfer"]).code == 3101
    assert refused(device, "files.commit", transfer=begun["transfer"]).code == -32602
    put(device, "a", NEW)


def test_another_file_of_a_name_is_replaced_when_that_is_said(device: Device) -> None:
    put(device, "a", OLD)
    error = refused(device, "files.begin", name="a", size=len(NEW), sha256=digest(NEW))
    assert error.code == 3002
    put(device, "a", NEW, replace=True)
    assert get(device, "a") == NEW
    assert names(device) == {"a"}


def test_a_second_transfer_for_a_name_waits_for_half_a_minute(device: Device) -> None:
    begin(device, "a", OLD)
    error = refused(device, "files.begin", name="a", size=len(NEW), sha256=digest(NEW))
    assert (error.code, error.data["retry_after"]) == (3005, 30)
    device.now += 30_000
    put(device, "a", NEW)


def test_as_many_files_as_there_are_places(device: Device) -> None:
    for name in "abc":
        put(device, name, OLD)
    begin(device, "d", OLD)
    error = refused(device, "files.begin", name="e", size=1, sha256=digest(b"x"))
    assert error.code == 3005
    device.now += 3_600_000
    put(device, "e", b"x")
    error = refused(device, "files.begin", name="f", size=1, sha256=digest(b"x"))
    assert (error.code, error.data) == (3003, {"free": 0})
    error = refused(device, "files.begin", name="g", size=PLACE + 1, sha256=digest(b"x"))
    assert (error.code, error.data) == (3003, {"free": PLACE})
    device.call("files.delete", name="a")
    put(device, "f", b"x")


def test_a_transfer_that_is_given_up(device: Device) -> None:
    begun = begin(device, "a", NEW)
    for _ in range(2):
        assert device.call("files.abort", transfer=begun["transfer"]) is None
    assert refused(device, "files.commit", transfer=begun["transfer"]).code == -32602
    put(device, "a", OLD)
    assert device.call("files.abort", transfer=begun["transfer"]) is None
    assert names(device) == {"a"}


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "/a", "a/", "a//b", ".a", "a/.b", "a:b", "a\\b", " a", "a ", "a.",
     "a\n", "a\0b", "x" * 32, "ü" * 16],
)  # fmt: skip
def test_names_that_are_not_plain(device: Device, name: str) -> None:
    for method in ("files.stat", "files.delete"):
        assert refused(device, method, name=name).code == 3004
    error = refused(device, "files.begin", name=name, size=1, sha256=digest(b"x"))
    assert error.code == 3004


@pytest.mark.parametrize("name", ["x" * 31, "ü" * 15, "a.b", "a b/c d.txt", "日本"])
def test_names_that_are(device: Device, name: str) -> None:
    put(device, name, b"x")
    assert names(device) == {name}


def test_it_goes_on_after_a_restart_from_what_is_there_for_good(device: Device) -> None:
    begun = begin(device, "a", NEW)
    send(device, NEW[: SECTOR + 96], "files.write", begun, chunk=96)
    device.start()
    again = begin(device, "a", NEW)
    assert again == {**begun, "offset": SECTOR}
    send(device, NEW, "files.write", again)
    device.start()
    assert begin(device, "a", NEW) == {**begun, "offset": len(NEW)}
    device.call("files.commit", transfer=begun["transfer"])
    device.start()
    assert get(device, "a") == NEW


def test_small_messages(device: Device) -> None:
    device.set("room", 244)
    put(device, "a", NEW)
    first = device.call("files.read", name="a", offset=0, length=1000)
    other = device.call("files.read", name="a", offset=30, length=1000)
    assert first["size"] == len(NEW)
    assert other.keys() == {"data"}
    assert get(device, "a") == NEW


def test_the_power_goes_at_every_step_of_a_replacement(device: Device) -> None:
    put(device, "b", b"beside")
    put(device, "a", OLD)
    kinds = set()
    for step in range(1, 10_000):
        device.power(step)
        try:
            put(device, "a", NEW, replace=True)
            break
        except PowerCut:
            device.power(0)
            device.start()
        found = get(device, "a")
        assert found in (OLD, NEW)
        kinds.add(found == NEW)
        put(device, "a", NEW, replace=True)
        assert (get(device, "a"), get(device, "b")) == (NEW, b"beside")
        put(device, "a", OLD, replace=True)
    assert step > 250
    assert kinds == {False}  # the record that makes it the new one is the last step


def test_the_power_goes_at_every_step_of_going_on(device: Device) -> None:
    """Again and again, as many steps each time as a sector and a record take, and some more."""
    for steps in (230, 300, 400):
        for _ in range(20):
            device.power(steps)
            try:
                put(device, "a", NEW, replace=True)
                break
            except PowerCut:
                device.power(0)
                device.start()
        device.power(0)
        assert get(device, "a") == NEW
        put(device, "a", OLD, replace=True)


@pytest.mark.parametrize("room", [244, 1023, 1024])
def test_a_read_gives_no_less_than_callers_reckon_with(device: Device, room: int) -> None:
    put(device, "a", NEW)
    device.set("room", room)
    info = ChannelInfo(transport="uart", local="", peer="", max_message=room)
    for offset in (0, 8):
        bare = is_small(info) and offset > 0
        piece = device.call("files.read", name="a", offset=offset, length=1 << 20)
        assert len(base64.b64decode(piece["data"])) >= read_room(info, bare=bare)


@pytest.mark.parametrize("unit", [1, 2, 4, 16, 32])
def test_flash_that_writes_other_units(flash_program: Path, unit: int) -> None:
    with driven(flash_program, str(unit)) as driver:
        device = Device(driver)
        device.start()
        put(device, "a", OLD)
        for step in (*range(1, 60), *range(60, 4000, 37)):
            device.power(step)
            try:
                put(device, "a", NEW, replace=True)
                break
            except PowerCut:
                device.power(0)
                device.start()
            assert get(device, "a") in (OLD, NEW)
            put(device, "a", OLD, replace=True)
        assert get(device, "a") == NEW
        device.power(0)
        for chunk in (unit, unit + 1, 1000):
            put(device, f"b{chunk}", NEW[: 10 * unit + 1], chunk=min(chunk, 600))
            device.call("files.delete", name=f"b{chunk}")
