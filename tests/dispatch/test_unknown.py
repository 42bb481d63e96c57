"""A method that is not there: the answer names it, and what the caller may have meant."""

import time
from typing import Any

import pytest

from jsonrpc_iot import Context, Dispatcher

from ._messages import error, notice, request


def greenhouse() -> Dispatcher:
    device = Dispatcher()
    device.method("greenhouse.read")(lambda: 21.5)
    device.method("greenhouse.vault", requires="admin")(lambda: "gold")
    device.notification("greenhouse.dim")(lambda: None)
    device.notification("greenhouse.burn", requires="admin")(lambda: None)
    return device


def data(method: str, context: Context | None = None) -> Any:
    found = error(greenhouse().dispatch_sync(request(method), context))
    assert (found["code"], found["message"]) == (-32601, "Method not found")
    return found["data"]


@pytest.mark.parametrize(
    ("called", "meant"),
    [
        ("greenhouse.raed", "greenhouse.read"),
        ("Greenhouse.read", "greenhouse.read"),
        ("read", "greenhouse.read"),
        ("rpc.pong", "rpc.ping"),
    ],
)
def test_a_near_name_is_offered(called: str, meant: str) -> None:
    assert data(called) == {"method": called, "hint": f"did you mean {meant}?"}


@pytest.mark.parametrize("called", ["lamp.set", "", "x" * 64])
def test_without_a_near_name_the_method_is_named_alone(called: str) -> None:
    assert data(called) == {"method": called}


def test_a_long_name_is_not_sent_back() -> None:
    assert data("greenhouse.read" + "x" * 10_000) == {"method": "greenhouse.read" + "x" * 49 + "…"}


def test_a_notification_that_is_called() -> None:
    hint = "it is a notification: use notify"
    assert data("greenhouse.dim") == {"method": "greenhouse.dim", "hint": hint}


def test_only_who_may_use_a_name_hears_of_it() -> None:
    admin = Context(permissions={"admin"})
    for called, meant in (("greenhouse.vaults", "vault?"), ("greenhouse.burn", "use notify")):
        assert meant not in str(data(called))
        assert meant in data(called, admin)["hint"]


def test_what_one_caller_hears_is_kept_from_others() -> None:
    device = greenhouse()
    call, admin = request("greenhouse.vaults"), Context(permissions={"admin"})
    for context in (admin, None, admin):
        hint = error(device.dispatch_sync(call, context))["data"].get("hint", "")
        assert ("greenhouse.vault?" in hint) == (context is admin)


def test_a_name_that_is_registered_later_is_offered() -> None:
    device = greenhouse()
    call = request("lamp.sett")
    assert "hint" not in error(device.dispatch_sync(call))["data"]
    device.method("lamp.set")(lambda: None)
    assert error(device.dispatch_sync(call))["data"]["hint"] == "did you mean lamp.set?"


def test_many_names_are_forgotten_again() -> None:
    device = greenhouse()
    for number in range(1000):
        assert "hint" not in error(device.dispatch_sync(request(f"{number}")))["data"]
    assert data("greenhouse.raed")["hint"] == "did you mean greenhouse.read?"


def test_a_notification_of_no_such_name_gets_no_answer() -> None:
    assert greenhouse().dispatch_sync(notice("greenhouse.raed")) is None


def test_looking_for_a_near_name_costs_no_more_than_to_list_them() -> None:
    device = Dispatcher()
    for number in range(5000):
        device.method(f"relay.switch_number_{number:04}")(lambda: None)

    def seconds(method: str) -> float:
        begin = time.thread_time()  # others on this machine cost us none
        device.dispatch_sync(request(method))
        return time.thread_time() - begin

    listing = min(seconds("rpc.methods") for _ in range(5))
    looking = min(seconds(f"relay.switch_numbre_{number:04}") for number in range(5))
    assert looking < 4 * listing
