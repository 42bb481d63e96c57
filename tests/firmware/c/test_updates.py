"""The service `firmware` in C: whenever the power goes, the old image runs or the new one."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jsonrpc_iot.services.firmware.signing import signed_text
from jsonrpc_iot.services.firmware.target import Image

from .desk import driven
from .flash import SECTOR, Device, PowerCut, Refused, digest, load, send

pytestmark = pytest.mark.firmware

PLACE = 6 * SECTOR
ONE, TWO = (bytes(range(start, start + 200)) * 13 for start in (0, 50))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def is_signed(signature: bytes, text: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, text)
    except InvalidSignature:
        return False
    return True


@pytest.fixture
def device(flash_program: Path) -> Iterator[Device]:
    """A device that has started for the first time."""
    with driven(flash_program) as driver:
        device = Device(driver, is_signed)
        device.start()
        yield device


def status(device: Device) -> dict[str, str]:
    said: dict[str, str] = device.call("firmware.status")
    return said


def begin(device: Device, data: bytes, version: str = "2", **more: object) -> Any:
    return device.call(
        "firmware.begin", size=len(data), sha256=digest(data), version=version, **more
    )


def refused(device: Device, method: str, **params: object) -> Refused:
    with pytest.raises(Refused) as caught:
        device.call(method, **params)
    return caught.value


def test_an_image_is_tested_and_confirmed(device: Device) -> None:
    assert status(device) == {"version": "1.0.0", "slot": "a", "state": "confirmed"}
    load(device, ONE, "2.0.0", target="lamp")
    waiting = {"version": "1.0.0", "slot": "a", "state": "pending", "next": "2.0.0"}
    assert status(device) == waiting
    assert device.events[-1] == ("firmware.state", waiting)
    assert refused(device, "firmware.confirm").code == 3004
    assert not device.poll()
    device.now += 500
    assert device.poll()
    device.start()
    assert device.place == 1
    assert device.image(1, len(ONE)) == digest(ONE)
    tested = {"version": "2.0.0", "slot": "b", "state": "testing", "previous": "1.0.0"}
    assert status(device) == tested
    assert not device.poll()
    assert refused(device, "firmware.begin", size=1, sha256=digest(b"x"), version="3").code == 3005
    for _ in range(2):
        assert device.call("firmware.confirm") is None
    assert status(device) == {**tested, "state": "confirmed"}
    assert device.events[-1] == ("firmware.state", {**tested, "state": "confirmed"})
    device.start()
    assert device.place == 1
    load(device, TWO, "3.0.0")
    device.start()
    assert device.place == 0
    assert device.image(0, len(TWO)) == digest(TWO)


def test_an_image_that_is_not_confirmed_goes(device: Device) -> None:
    load(device, ONE, "2.0.0")
    device.start()
    assert device.place == 1
    device.now += 59_999
    assert not device.poll()
    device.now += 1
    assert device.poll()
    device.start()
    assert device.place == 0
    assert status(device) == {"version": "1.0.0", "slot": "a", "state": "confirmed"}
    load(device, ONE, "2.0.0")
    device.start()
    assert device.place == 1


def test_an_image_that_is_damaged_does_not_run(device: Device) -> None:
    load(device, ONE, "2.0.0")
    device.set("spoil", 1)
    device.start()
    assert device.place == 0
    assert status(device)["state"] == "confirmed"


def test_an_answer_that_was_lost(device: Device) -> None:
    begun = begin(device, ONE)
    error = refused(device, "firmware.install", transfer=begun["transfer"])
    assert (error.code, error.data["offset"], error.data["size"]) == (-32602, 0, len(ONE))
    assert begin(device, ONE) == begun
    send(device, ONE, "firmware.write", begun)
    for _ in range(2):
        answer = device.call("firmware.install", transfer=begun["transfer"])
        assert answer == {"state": "pending"}
    device.call("firmware.abort", transfer=begun["transfer"])
    assert status(device)["state"] == "pending"
    assert begin(device, ONE)["offset"] == len(ONE)


def test_another_image_takes_the_place_of_one_that_waits(device: Device) -> None:
    load(device, ONE, "2.0.0")
    assert refused(device, "firmware.begin", size=1, sha256=digest(b"x"), version="3").code == 3005
    device.now += 30_000
    begin(device, TWO, "3")
    assert status(device) == {"version": "1.0.0", "slot": "a", "state": "confirmed"}
    load(device, TWO, "3")
    device.start()
    assert device.image(device.place, len(TWO)) == digest(TWO)


def test_what_is_refused(device: Device) -> None:
    about = {"size": len(ONE), "sha256": digest(ONE), "version": "2"}
    error = refused(device, "firmware.begin", **{**about, "size": PLACE + 1})
    assert (error.code, error.data) == (3003, {"free": PLACE})
    error = refused(device, "firmware.begin", **about, target="fridge")
    assert (error.code, error.data) == (3103, {"target": "lamp"})
    for version in ("", "a\n", "x" * 32):
        assert refused(device, "firmware.begin", **{**about, "version": version}).code == -32602
    assert refused(device, "firmware.begin", **{**about, "sha256": "00"}).code == -32602
    assert refused(device, "firmware.begin", **{**about, "size": 0}).code == -32602
    begun = device.call("firmware.begin", **{**about, "sha256": digest(TWO)})
    send(device, ONE, "firmware.write", begun)
    assert refused(device, "firmware.install", transfer=begun["transfer"]).code == 3101
    assert refused(device, "firmware.install", transfer=begun["transfer"]).code == -32602
    assert status(device) == {"version": "1.0.0", "slot": "a", "state": "confirmed"}


def test_a_transfer_that_is_given_up(device: Device) -> None:
    begun = begin(device, ONE)
    for _ in range(2):
        assert device.call("firmware.abort", transfer=begun["transfer"]) is None
    assert refused(device, "firmware.install", transfer=begun["transfer"]).code == -32602
    assert begin(device, TWO)["offset"] == 0


def signature(data: bytes, version: str, target: str = "") -> str:
    image = Image(version=version, target=target, size=len(data), sha256=digest(data))
    return base64.b64encode(KEY.sign(signed_text(image))).decode()


def test_a_signature_is_demanded(device: Device) -> None:
    device.set("signed")
    device.start()
    about = {"size": len(ONE), "sha256": digest(ONE), "version": "2"}
    assert refused(device, "firmware.begin", **about).code == 3102
    wrong = (signature(ONE, "3"), signature(TWO, "2"), signature(ONE, "2", "lamp"), "AAAA", "%")
    for each in wrong:
        assert refused(device, "firmware.begin", **about, signature=each).code == 3102
    load(device, ONE, "2", signature=signature(ONE, "2"))
    device.start()
    assert device.place == 1


def test_the_signature_comes_with_install_where_messages_are_small(device: Device) -> None:
    device.set("signed")
    device.set("room", 244)
    device.start()
    begun = begin(device, ONE, "2", target="lamp")
    send(device, ONE, "firmware.write", begun)
    transfer = begun["transfer"]
    assert refused(device, "firmware.install", transfer=transfer).code == 3102
    wrong = signature(ONE, "2")
    assert refused(device, "firmware.install", transfer=transfer, signature=wrong).code == 3102
    right = signature(ONE, "2", "lamp")
    assert device.call("firmware.install", transfer=transfer, signature=right)
    assert status(device)["state"] == "pending"


def test_the_power_goes_at_every_step_of_an_update(device: Device) -> None:
    """From the first write to the confirmation, and in the choice between images at each start."""
    old, new = ONE, TWO
    load(device, old, "1.1")
    device.start()
    device.call("firmware.confirm")
    ran = set()
    for step in range(1, 10_000):
        device.power(step)
        try:
            load(device, new, "1.2")
            device.start()
            device.call("firmware.confirm")
            break
        except PowerCut:
            device.power(0)
            device.start()
        runs = status(device)["version"]
        assert device.image(device.place, len(new)) == digest({"1.1": old, "1.2": new}[runs])
        ran.add(runs)
        restore(device, old, new)
    assert step > 400
    assert ran == {"1.1", "1.2"}
    device.power(0)
    device.start()
    assert status(device)["version"] == "1.2"


def restore(device: Device, old: bytes, new: bytes) -> None:
    """Have the old image run, confirmed, and nothing have come of the new one."""
    while (about := status(device))["state"] != "confirmed":
        device.start()
    device.now += 30_000
    if about["version"] == "1.2":
        load(device, old, "1.1")
        device.start()
        device.call("firmware.confirm")
        device.now += 30_000
    device.call("firmware.abort", transfer=begin(device, new, "1.2")["transfer"])
    assert status(device)["version"] == "1.1"
