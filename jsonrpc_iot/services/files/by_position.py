"""Calls with params by position, for links that have no room for their names."""

from collections.abc import Sequence
from typing import TypeVar

from msgspec import UNSET

from jsonrpc_iot import Client, RpcError

T = TypeVar("T")


def full_name(prefix: str, method: str) -> str:
    """The name of a method with what a device or gateway put before it."""
    return f"{prefix}.{method}" if prefix else method


async def call_by_position(
    client: Client,
    method: str,
    params: Sequence[object],
    result: type[T],
    *,
    errors: Sequence[type[RpcError]],
    timeout: float | None = None,
) -> T:
    """Call a method; not every device understands it so.

    Args:
        client: leads to the device.
        method: its full name.
        params: in the order of the declaration.
        result: the type of the result.
        errors: by their codes, classes of what is raised.
        timeout: seconds, the client's own when left out.
    """
    try:
        return await client.call(
            method,
            params,
            result=result,
            timeout=UNSET if timeout is None else timeout,
            idempotent=True,
        )
    except RpcError as error:
        raise error.as_declared({kind.code: kind for kind in errors}) from None
