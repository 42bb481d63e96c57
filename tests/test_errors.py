"""The exceptions: their tree, codes and texts, and that they can be copied."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import jsonrpc_iot
from jsonrpc_iot import (
    BindFailed,
    Busy,
    CallTimeout,
    Cancelled,
    ChannelClosed,
    ConnectFailed,
    ConnectTimeout,
    DeadlineExceeded,
    DeviceOffline,
    Forbidden,
    FramingError,
    InternalError,
    InvalidParams,
    InvalidRequest,
    InvalidUrl,
    JsonRpcIotError,
    KeyringError,
    MalformedFrame,
    MalformedResponse,
    MessageTooLarge,
    MethodNotFound,
    MissingExtra,
    OutcomeUnknown,
    ParseError,
    RpcError,
    ServerError,
    TooLarge,
    TransportError,
    Unauthorized,
    Unencodable,
    UsageError,
)
from jsonrpc_iot.errors import rpc_error

CODED: list[tuple[type[RpcError], int, str]] = [
    (ParseError, -32700, "Parse error"),
    (InvalidRequest, -32600, "Invalid Request"),
    (MethodNotFound, -32601, "Method not found"),
    (InvalidParams, -32602, "Invalid params"),
    (InternalError, -32603, "Internal error"),
    (ServerError, -32000, "Server error"),
    (TooLarge, -32001, "Message too large"),
    (DeadlineExceeded, -32002, "Deadline exceeded"),
    (Cancelled, -32003, "Cancelled"),
    (Busy, -32004, "Busy"),
    (Unauthorized, -32005, "Unauthorized"),
    (Forbidden, -32006, "Forbidden"),
    (DeviceOffline, -32010, "Device offline"),
    (OutcomeUnknown, -32011, "Not known whether it ran"),
]

TREE: list[tuple[type[Exception], type[Exception]]] = [
    (JsonRpcIotError, Exception),
    (RpcError, JsonRpcIotError),
    *((coded, RpcError) for coded, _, _ in CODED),
    (MessageTooLarge, JsonRpcIotError),
    (CallTimeout, JsonRpcIotError),
    (CallTimeout, TimeoutError),
    (MalformedResponse, JsonRpcIotError),
    (UsageError, JsonRpcIotError),
    (UsageError, ValueError),
    (InvalidUrl, UsageError),
    (Unencodable, UsageError),
    (MissingExtra, UsageError),
    (KeyringError, UsageError),
    (TransportError, JsonRpcIotError),
    (BindFailed, TransportError),
    (ConnectFailed, TransportError),
    (ConnectTimeout, ConnectFailed),
    (ConnectTimeout, TimeoutError),
    (ChannelClosed, TransportError),
    (FramingError, TransportError),
    (MalformedFrame, TransportError),
]


@pytest.mark.parametrize(("error", "parent"), TREE)
def test_the_tree(error: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(error, parent)


def test_every_public_error_is_in_the_tree() -> None:
    public = [getattr(jsonrpc_iot, name) for name in jsonrpc_iot.__all__]
    errors = {each for each in public if isinstance(each, type) and issubclass(each, Exception)}
    assert errors == {error for error, _ in TREE}


def test_a_link_that_failed_is_no_answer() -> None:
    for error, _ in TREE:
        assert not (issubclass(error, RpcError) and issubclass(error, TransportError))
    assert not issubclass(CallTimeout, TransportError)


@pytest.mark.parametrize(("error", "code", "message"), CODED)
def test_each_code_has_a_class(error: Callable[..., RpcError], code: int, message: str) -> None:
    plain = error()
    assert (plain.code, plain.message, plain.data) == (code, message, None)
    detailed = error("Because", {"a": 1})
    assert (detailed.code, detailed.message, detailed.data) == (code, "Because", {"a": 1})
    assert error(data=[1]).data == [1]


class NoWater(RpcError):
    code = 2001
    message = "No water"


class NoPower(RpcError):
    default_code = 2002
    default_message = "No power"


class NoWords(RpcError):
    code = 2003

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [(NoWater, 2001, "No water"), (NoPower, 2002, "No power"), (NoWords, 2003, "Server error")],
)
def test_a_class_of_ones_own_has_its_code(
    kind: Callable[[], RpcError], code: int, message: str
) -> None:
    with pytest.raises(RpcError) as raised:
        raise kind()
    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.message, raised.value.data) == (code, message, None)


def test_a_class_of_ones_own_may_be_raised_with_more_to_say() -> None:
    detailed = NoWater("Below the mark", {"litres": 0.1})
    assert (detailed.code, detailed.message, detailed.data) == (
        2001,
        "Below the mark",
        {"litres": 0.1},
    )
    assert NoWater(data=[1]).data == [1]
    assert copy.copy(detailed).data == detailed.data


@pytest.mark.parametrize("code", ["E", 1.5, True, None])
def test_the_code_of_a_class_is_an_integer(code: Any) -> None:
    with pytest.raises(TypeError, match="class Odd: the code of an error is an integer"):
        type("Odd", (RpcError,), {"code": code})


def test_the_message_of_a_class_is_a_text() -> None:
    with pytest.raises(TypeError, match="class Odd: its message is a text, not 5"):
        type("Odd", (RpcError,), {"message": 5})


def test_an_error_without_a_code_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"RpcError needs a code.*RpcError\(2001, 'E'\)"):
        RpcError("E")


@pytest.mark.parametrize("error", [RpcError(7, "Seven"), RpcError(code=7, message="Seven")])
def test_a_code_may_be_given(error: RpcError) -> None:
    assert (error.code, error.message, error.data) == (7, "Seven", None)
    assert NoWater(7, "Seven").code == 7


@pytest.mark.parametrize(("error", "code", "message"), CODED)
def test_a_code_is_raised_as_its_class(error: type[RpcError], code: int, message: str) -> None:
    found = rpc_error(code, "Foreign words", {"a": 1})
    assert type(found) is error
    assert (found.code, found.message, found.data) == (code, "Foreign words", {"a": 1})


@pytest.mark.parametrize("code", [0, 1, -1, -32099, -32768, -32007, 2**40])
def test_any_other_code_is_a_plain_error(code: int) -> None:
    found = rpc_error(code, "m")
    assert type(found) is RpcError
    assert (found.code, found.message, found.data) == (code, "m", None)


@pytest.mark.parametrize("code", [-32602, -32000, 5])
def test_a_foreign_empty_message_stays_empty(code: int) -> None:
    assert rpc_error(code, "").message == ""


def test_texts() -> None:
    assert str(RpcError(5, "Out of paper")) == "Out of paper (5)"
    assert str(RpcError(5, "Out of paper", {"tray": 2})) == "Out of paper (5): {'tray': 2}"
    assert str(Forbidden()) == "Forbidden (-32006)"
    assert str(RpcError(5, "m", 0)) == "m (5): 0"


def test_a_message_too_large_tells_both_sizes() -> None:
    error = MessageTooLarge(1500, 1400)
    assert (error.size, error.limit) == (1500, 1400)
    assert "1500" in str(error)
    assert "1400" in str(error)


def test_a_framing_error_carries_what_to_answer() -> None:
    answer = TooLarge(data={"size": 2, "limit": 1})
    assert FramingError(answer).error is answer
    assert str(FramingError(answer)) == str(answer)


COPIES: list[Callable[[Exception], Exception]] = [
    copy.copy,
    copy.deepcopy,
    lambda error: pickle.loads(pickle.dumps(error)),
]

ERRORS: list[Exception] = [
    RpcError(5, "m"),
    RpcError(5, "", {"a": [1]}),
    *(rpc_error(code, message) for _, code, message in CODED),
    Busy("Later", {"retry_after": 1.5}),
    rpc_error(-32602, "Foreign words", [1]),
    CallTimeout("late"),
    ConnectTimeout("slow"),
    InvalidUrl("bad"),
    ChannelClosed("gone"),
    FramingError(TooLarge(data={"size": 2, "limit": 1})),
    MessageTooLarge(2, 1),
    rpc_error(-32602, ""),
]


@pytest.mark.parametrize("make", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_errors_can_be_copied(error: Exception, make: Callable[[Exception], Exception]) -> None:
    twin = make(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.args == error.args
    if isinstance(error, RpcError):
        assert isinstance(twin, RpcError)
        assert (twin.code, twin.message, twin.data) == (error.code, error.message, error.data)
    if isinstance(error, FramingError):
        assert isinstance(twin, FramingError)
        assert isinstance(twin.error, TooLarge)
        assert twin.error.data == error.error.data


class OutOfPaper(RpcError):
    def __init__(self, tray: int) -> None:
        super().__init__(77, "Out of paper", {"tray": tray})
        self.tray = tray


@pytest.mark.parametrize("make", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_a_copy_has_all_that_the_error_had(make: Callable[[Exception], Exception]) -> None:
    error = OutOfPaper(3)
    error.add_note("in the attic")
    twin = make(error)
    assert isinstance(twin, OutOfPaper)
    assert (twin.code, twin.tray, twin.__notes__) == (77, 3, ["in the attic"])
    sizes = make(MessageTooLarge(2, 1))
    assert isinstance(sizes, MessageTooLarge)
    assert (sizes.size, sizes.limit) == (2, 1)


def test_an_error_class_of_ones_own_keeps_its_fields() -> None:
    error = OutOfPaper(3)
    assert (error.code, error.tray) == (77, 3)
    with pytest.raises(JsonRpcIotError, match=r"Out of paper \(77\)"):
        raise error
