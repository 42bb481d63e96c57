"""`pair`: a key for who knows a device's code, by a client that is connected to it."""

from functools import partial

from .client import Client


async def pair(client: Client, code: str, name: str = "app") -> bytes:
    """Get a key from a device that is open for pairing.

    Who listens learns nothing, and who pretends to be the device has one guess.

    Args:
        client: leads to the device.
        code: the device's, at least 8 digits; dashes and spaces are ignored.
        name: what to be called in the device's keyring.

    Returns:
        The key; a file with its Base64 is what `?psk=file:PATH` reads.

    Raises:
        UsageError: it is no code, or the name is too long or makes no sense.
        Unauthorized: the code is wrong, at either end.
        MethodNotFound: the device gives no keys, or not in this way.
        RpcError: the device refuses for another reason, such as a window that is not open.
        MissingExtra: the extra `seal` is not installed.
    """
    from ..trust.pairing import pair as pair_by

    call = partial(client.call, "rpc.pair", result=dict[str, str], idempotent=True)
    return await pair_by(call, code, name)
