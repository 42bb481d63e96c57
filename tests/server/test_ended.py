"""Since when a server knows what has run for another end."""

import anyio
import pytest

from jsonrpc_iot.server import ended
from jsonrpc_iot.server.ended import Ended

pytestmark = pytest.mark.anyio


async def test_what_is_remembered_is_bounded_and_never_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ended, "_REMEMBERED", 10)
    known = Ended()
    known._began -= 60
    stranger = known.known_since("stranger")
    assert stranger < anyio.current_time() - 50
    known.note("first")
    first = known.known_since("first")
    assert known.known_since("stranger") == stranger
    for number in range(10):
        known.note(str(number))
    assert len(known._at) == 10
    assert known.known_since("stranger") == known.known_since("first") == first
