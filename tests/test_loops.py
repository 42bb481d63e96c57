"""The mark `only_on` leaves a test out on the loops that it does not name, and on no others."""

from typing import Any

import pytest

from tests.conftest import is_on


@pytest.mark.parametrize(
    "backend", ["asyncio", ("asyncio", {}), ("asyncio", {"use_uvloop": True})], ids=repr
)
def test_a_loop_is_known_with_options_and_as_a_name_alone(
    backend: str | tuple[str, dict[str, Any]],
) -> None:
    assert is_on(backend, ("asyncio",))
    assert is_on(backend, ("trio", "asyncio"))
    assert not is_on(backend, ("trio",))


def test_a_loop_that_nobody_has_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match="curio"):
        is_on("asyncio", ("curio",))
