"""Documents are kept, so that callers cannot keep a device busy with describing itself."""

from typing import Any

import msgspec
import pytest

from jsonrpc_iot import Context, Dispatcher, Event, service
from jsonrpc_iot.dispatch import rpc_methods

from .asking import described, with_limit


class Made:
    """Counts the documents that are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("document", "document_of_one"):
            monkeypatch.setattr(rpc_methods, name, self._counting(getattr(rpc_methods, name)))

    def _counting(self, make: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            self.count += 1
            return make(*arguments)

        return counted


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


@pytest.fixture
def lamp() -> Dispatcher:
    dispatcher = Dispatcher()

    def dim(percent: int) -> None: ...

    dim.__doc__ = "Dim.\n\n" + "Words. " * 100
    dispatcher.method(dim)
    dispatcher.method("reset", requires="admin")(lambda: None)
    return dispatcher


def names(document: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in document["methods"] if not entry["name"].startswith("rpc.")]


def ask_as(dispatcher: Dispatcher, id: object, context: Context) -> bytes:
    request = {"id": id, "method": "rpc.discover", "params": {"method": "dim"}}
    reply = dispatcher.dispatch_sync(msgspec.json.encode(request), context)
    assert reply is not None
    return reply


@pytest.mark.parametrize("name", [None, "dim"])
@pytest.mark.parametrize("size", [None, 100_000])
def test_what_is_asked_for_again_is_not_made_again(
    lamp: Dispatcher, made: Made, name: str | None, size: int | None
) -> None:
    first = described(lamp, name, with_limit(size))
    assert made.count == 1
    for _ in range(10):
        assert described(lamp, name, with_limit(size)) == first
    assert made.count == 1


def test_callers_see_what_they_may_call(lamp: Dispatcher, made: Made) -> None:
    for _ in range(2):
        assert names(described(lamp, None, with_limit(None))) == ["dim"]
        assert names(described(lamp, None, with_limit(None, "admin"))) == ["dim", "reset"]
    assert made.count == 2


def test_links_get_what_fits_them(lamp: Dispatcher, made: Made) -> None:
    for _ in range(2):
        small = ask_as(lamp, 1, with_limit(400))
        large = ask_as(lamp, 1, with_limit(2000))
        assert len(small) <= 400 < len(large)
    assert made.count == 2


def test_what_has_changed_is_described_anew(lamp: Dispatcher) -> None:
    @service("door")
    class Door:
        opened = Event[dict[str, int]]("opened")

    assert names(described(lamp)) == ["dim"]
    lamp.method("brighten")(lambda: None)
    assert names(described(lamp)) == ["brighten", "dim"]
    assert "x-notifications" not in described(lamp)
    lamp.include(Door())
    assert [each["name"] for each in described(lamp)["x-notifications"]] == ["door.opened"]


def test_no_flood_of_ids_has_many_documents_made(lamp: Dispatcher, made: Made) -> None:
    context = with_limit(2000)
    for size in range(1, 1000):
        ask_as(lamp, "x" * size, context)
        ask_as(lamp, 10**size, context)
    assert made.count < 100


def test_no_flood_of_sizes_is_kept(lamp: Dispatcher, made: Made) -> None:
    described(lamp, "dim", with_limit(10_000))
    for size in range(300, 1300):
        described(lamp, "dim", with_limit(size))
    made.count = 0
    described(lamp, "dim", with_limit(10_000))
    assert made.count == 1  # it had to go for others
