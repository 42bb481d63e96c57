"""What is known of a method of a class is found out once, and mixed up with no other's."""

import gc
import weakref
from typing import Any

import pytest

from jsonrpc_iot import Dispatcher, method, service
from jsonrpc_iot.dispatch.shape import shape_of


@service("lamp")
class Lamp:
    def __init__(self, level: int = 0) -> None:
        self._level = level

    @method
    def get(self, plus: int = 0) -> int:
        """The level."""
        return self._level + plus


class Loud(Lamp):
    def get(self, plus: int = 0) -> int:
        return -super().get(plus)


def params_of(dispatcher: Dispatcher, name: str) -> Any:
    handler = dispatcher.responder("json").handler(name)
    assert handler is not None
    return handler.params


def including(*services: Any) -> Dispatcher:
    dispatcher = Dispatcher()
    for number, each in enumerate(services):
        dispatcher.include(each, f"at{number}")
    return dispatcher


def test_dispatchers_share_the_shapes_of_the_protocols_methods() -> None:
    for name in ("rpc.discover", "rpc.subscribe"):
        first, second = (params_of(Dispatcher(), name) for _ in range(2))
        assert first is second


def test_objects_of_one_class_share_a_shape_and_answer_for_themselves() -> None:
    first, second = including(Lamp(1)), including(Lamp(2))
    assert params_of(first, "at0.lamp.get") is params_of(second, "at0.lamp.get")
    call = b'{"id":1,"method":"at0.lamp.get","params":[5]}'
    assert [each.dispatch_sync(call) for each in (first, second)] == [
        b'{"id":1,"result":6}',
        b'{"id":1,"result":7}',
    ]


def test_one_function_under_two_names_has_a_shape_for_each() -> None:
    dispatcher = including(Lamp(), Lamp())
    names = [params_of(dispatcher, f"at{n}.lamp.get").__name__ for n in range(2)]
    assert names == ["Params of at0.lamp.get", "Params of at1.lamp.get"]


def test_an_override_runs_instead_of_its_declaration() -> None:
    dispatcher = including(Lamp(1), Loud(1))
    calls = [b'{"id":1,"method":"at%d.lamp.get"}' % n for n in range(2)]
    replies = [dispatcher.dispatch_sync(each) for each in calls]
    assert replies == [b'{"id":1,"result":1}', b'{"id":1,"result":-1}']


def test_what_does_not_fit_is_refused_each_time() -> None:
    class Wrong(Lamp):
        def get(self) -> int:  # type: ignore[override]
            return 0

    for _ in range(2):
        with pytest.raises(TypeError, match="does not fit its declaration"):
            including(Wrong())


def test_a_shape_goes_with_its_class() -> None:
    @service("")
    class Passing:
        @method
        def get(self) -> "int":
            return 1

    shape = shape_of("get", Passing().get)
    assert shape_of("get", Passing().get) is shape
    gone = weakref.ref(shape.params)
    del Passing, shape
    gc.collect()
    assert gone() is None
