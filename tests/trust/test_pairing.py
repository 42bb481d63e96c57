"""Pairing: one guess a try, few tries a window, and the right code gets a key."""

import logging
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import pytest

from jsonrpc_iot import (
    Busy,
    Forbidden,
    InternalError,
    InvalidParams,
    Keyring,
    MalformedResponse,
    RpcError,
    Unauthorized,
    UsageError,
)
from jsonrpc_iot.trust.exchange import Exchange
from jsonrpc_iot.trust.keyring import key_id
from jsonrpc_iot.trust.keys import key_text
from jsonrpc_iot.trust.pairing import Members, Pairing, pair

pytestmark = pytest.mark.anyio

CODE, WRONG = "1234-5678", "1234-5679"

Call = Callable[[Members], Awaitable[Members]]


class Clock:
    """Seconds that tests let pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    return Keyring(path)


@pytest.fixture
def pairing(keyring: Keyring, clock: Clock) -> Pairing:
    made = Pairing(keyring, CODE, ["wifi"], clock=clock)
    made.open()
    return made


def caller(pairing: Pairing, where: str = "here") -> Call:
    """What calls `rpc.pair` from a place."""

    async def call(params: Members) -> Members:
        return await pairing.answer(where, **params)

    return call


class Client:
    """A client that goes step by step."""

    def __init__(self, pairing: Pairing, where: str = "here", code: str = CODE) -> None:
        self._pairing = pairing
        self._where = where
        self._exchange = Exchange(code, "client")
        self.spake = b64encode(self._exchange.message).decode()
        self.confirm = ""

    async def begin(self) -> Members:
        reply = await self._pairing.answer(self._where, spake=self.spake)
        if not self.confirm:
            agreed = self._exchange.finish(b64decode(reply["spake"]))
            self.confirm = b64encode(agreed.client).decode()
        return reply

    async def finish(self, name: str = "app") -> Members:
        return await self._pairing.answer(self._where, confirm=self.confirm, name=name)


async def test_the_right_code_gets_a_key(
    pairing: Pairing, keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        key = await pair(caller(pairing), "12345678", "app")
    shared = keyring.by_key_id(key_id(key))
    assert shared is not None
    assert shared.principal.name == "app"
    assert shared.principal.permits("wifi")
    assert not shared.principal.permits("firmware")
    assert not pairing.is_open
    audited = [each.getMessage() for each in caplog.records if each.name == "jsonrpc_iot.audit"]
    assert audited == [
        "here: try 1 to pair: begun",
        "here: paired, and called 'app' from now on",
        "pairing is closed: somebody is paired",
    ]
    assert key_text(key) not in caplog.text
    assert "12345678" not in caplog.text.replace("-", "")


async def test_a_wrong_code_gets_nothing(
    pairing: Pairing, keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "jsonrpc_iot.audit"), pytest.raises(Unauthorized):
        await pair(caller(pairing), WRONG, "app")
    assert "app" not in keyring
    assert [each.getMessage() for each in caplog.records] == [
        "here: try 1 to pair: begun",
        "here: try 1 to pair: wrong code",
    ]
    await pair(caller(pairing), CODE, "app")


async def test_five_wrong_codes_close_the_window(pairing: Pairing, keyring: Keyring) -> None:
    for place in range(5):
        assert pairing.is_open
        with pytest.raises(Unauthorized, match="Wrong code"):
            await pair(caller(pairing, f"place {place}"), WRONG, "app")
    assert not pairing.is_open
    with pytest.raises(Forbidden, match="not open"):
        await pair(caller(pairing), CODE, "app")
    assert "app" not in keyring
    pairing.open()
    await pair(caller(pairing), CODE, "app")


async def test_the_fifth_try_may_be_right(pairing: Pairing) -> None:
    for _ in range(4):
        with pytest.raises(Unauthorized):
            await pair(caller(pairing), WRONG, "app")
    await pair(caller(pairing), CODE, "app")


async def test_a_window_is_closed_until_it_is_opened(keyring: Keyring) -> None:
    pairing = Pairing(keyring, CODE)
    with pytest.raises(Forbidden):
        await pair(caller(pairing), CODE, "app")
    pairing.open()
    pairing.close()
    with pytest.raises(Forbidden):
        await pair(caller(pairing), CODE, "app")


async def test_a_window_is_open_for_its_time(pairing: Pairing, clock: Clock) -> None:
    clock.now += 299
    client = Client(pairing)
    await client.begin()
    clock.now += 9
    assert pairing.is_open
    with pytest.raises(Busy):
        await Client(pairing, "there").begin()
    await client.finish()
    pairing.open()
    clock.now += 300
    assert not pairing.is_open
    with pytest.raises(Forbidden):
        await Client(pairing).begin()


async def test_a_try_that_is_not_finished_was_wrong(
    pairing: Pairing, clock: Clock, keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 6):
        client = Client(pairing)
        await client.begin()
        clock.now += 9.9
        with pytest.raises(Busy) as caught:
            await Client(pairing, "there").begin()
        assert caught.value.data == {"retry_after": 0.1}
        clock.now += 0.1
        with pytest.raises(Unauthorized, match="No try"):
            await client.finish()
        assert f"try {number} to pair: not finished within 10 s" in caplog.text
    assert not pairing.is_open
    assert "app" not in keyring


async def test_closing_ends_a_try_that_has_begun(pairing: Pairing, keyring: Keyring) -> None:
    client = Client(pairing)
    await client.begin()
    pairing.close()
    with pytest.raises(Unauthorized, match="No try"):
        await client.finish()
    assert "app" not in keyring


async def test_one_of_two_clients_at_once_has_to_wait(pairing: Pairing, keyring: Keyring) -> None:
    outcomes: dict[str, bytes | RpcError] = {}

    async def try_to_pair(where: str) -> None:
        try:
            outcomes[where] = await pair(caller(pairing, where), CODE, where)
        except RpcError as error:
            outcomes[where] = error

    async with anyio.create_task_group() as tasks:
        for where in ("one", "other"):
            tasks.start_soon(try_to_pair, where)
    (key,) = (each for each in outcomes.values() if isinstance(each, bytes))
    (error,) = (each for each in outcomes.values() if not isinstance(each, bytes))
    assert isinstance(error, Busy | Forbidden)
    assert keyring.by_key_id(key_id(key)) is not None
    assert ("one" in keyring) != ("other" in keyring)


async def test_nobody_else_ends_a_try(pairing: Pairing) -> None:
    client = Client(pairing)
    await client.begin()
    for confirm in ("", b64encode(bytes(16)).decode(), client.confirm):
        with pytest.raises(Busy):
            await pairing.answer("there", confirm=confirm, name="there")
    await client.finish()


async def test_who_did_not_hear_the_answer_may_ask_again(
    pairing: Pairing, clock: Clock, keyring: Keyring
) -> None:
    client = Client(pairing)
    assert await client.begin() == await client.begin()
    reply = await client.finish()
    clock.now += 9
    assert await client.finish() == reply
    assert keyring.path.read_text().count("[peers.") == 1
    with pytest.raises(Unauthorized):
        await pairing.answer("there", confirm=client.confirm, name="app")
    clock.now += 1
    with pytest.raises(Unauthorized):
        await client.finish()


async def test_what_was_said_before_is_worth_nothing_later(
    pairing: Pairing, keyring: Keyring, clock: Clock
) -> None:
    heard = Client(pairing)
    first = await heard.begin()
    await heard.finish()
    clock.now += 10
    pairing.open()
    assert await heard.begin() != first
    with pytest.raises(Unauthorized, match="Wrong code"):
        await pairing.answer("here", confirm=heard.confirm, name="replayed")
    assert "replayed" not in keyring


async def test_who_is_cut_off_leaves_nothing_half(pairing: Pairing, keyring: Keyring) -> None:
    client = Client(pairing)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await client.begin()
    await client.begin()  # over another connection
    with anyio.CancelScope() as scope:
        scope.cancel()
        await client.finish()
    assert "app" in keyring
    await client.finish()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"spake": "no Base64"},
        {"spake": "\ud800"},
        {"confirm": "no Base64"},
        {"name": "app"},
    ],
)
async def test_params_that_make_no_sense_are_no_try(pairing: Pairing, params: Members) -> None:
    for _ in range(6):
        with pytest.raises(InvalidParams):
            await pairing.answer("here", **params)
    await pair(caller(pairing), CODE, "app")


@pytest.mark.parametrize("message", [b"", b"A" + bytes(32), b"B" + bytes(32), bytes(1000)])
async def test_a_message_that_is_none_is_a_try(pairing: Pairing, message: bytes) -> None:
    for _ in range(5):
        with pytest.raises(InvalidParams, match="SPAKE2"):
            await pairing.answer("here", spake=b64encode(message).decode())
    assert not pairing.is_open


@pytest.mark.parametrize("name", ["app", "", "a\nb", "x" * 65])
async def test_a_name_that_cannot_be_had_is_told_to_who_knows_the_code(
    pairing: Pairing, keyring: Keyring, name: str
) -> None:
    keyring.add("app")
    before = keyring.path.read_text()
    for code, kind in ((WRONG, Unauthorized), (CODE, InvalidParams)):
        client = Client(pairing, code=code)
        await client.begin()
        with pytest.raises(kind):
            await client.finish(name)
    assert keyring.path.read_text() == before
    await pair(caller(pairing), CODE, "other")


async def test_a_keyring_that_cannot_be_written_is_logged(
    pairing: Pairing, keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    keyring.path.unlink()
    keyring.path.mkdir()
    with pytest.raises(InternalError):
        await pair(caller(pairing), CODE, "app")
    assert str(keyring.path) in caplog.text
    assert pairing.is_open


async def test_a_pretended_device_learns_nothing_and_is_found_out(keyring: Keyring) -> None:
    heard: list[Members] = []
    pretender = Exchange(WRONG, "device")

    async def call(params: Members) -> Members:
        heard.append(params)
        if "spake" in params:
            return {"spake": b64encode(pretender.message).decode()}
        return {"confirm": b64encode(bytes(16)).decode(), "key": b64encode(bytes(48)).decode()}

    with pytest.raises(Unauthorized, match="does not know the code"):
        await pair(call, CODE, "app")
    assert [sorted(each) for each in heard] == [["spake"], ["confirm", "name"]]


@pytest.mark.parametrize("answer", [{}, {"spake": "?"}, {"spake": b64encode(bytes(33)).decode()}])
async def test_an_answer_that_is_none(answer: Members) -> None:
    async def call(params: Members) -> Members:
        return answer

    with pytest.raises(MalformedResponse):
        await pair(call, CODE, "app")


@pytest.mark.parametrize("name", ["", "x" * 65, "ü" * 33, "\n"])
async def test_a_name_that_nobody_may_have_is_not_sent(pairing: Pairing, name: str) -> None:
    with pytest.raises(UsageError):
        await pair(caller(pairing), CODE, name)
    with pytest.raises(UsageError):
        await pair(caller(pairing), "1234", "app")


def test_what_makes_no_sense_is_refused(keyring: Keyring) -> None:
    make = partial(Pairing, keyring)
    with pytest.raises(UsageError, match="8 digits"):
        make("1234567")
    with pytest.raises(UsageError, match="no pattern"):
        make(CODE, ["wifi.*"])
    with pytest.raises(TypeError):
        make(CODE, "wifi")
