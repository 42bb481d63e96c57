"""Traces without the tokens by which somebody proves who they are."""

import re

from .contract import Trace

_PROOF = b"rpc.authenticate"
_TOKEN = re.compile(
    rb'(?<="token":")[^"]+'  # a text in JSON, by name
    rb'|(?<="token": ")[^"]+'
    rb'|(?<="params":\[")[^"]+'  # or by place
    rb'|(?<="params": \[")[^"]+'
    rb"|(?<![\w-])[\w-]{32,}"  # whatever is as long as a token of a keyring, in any codec
)


def masked(message: bytes) -> bytes:
    """A message as it may be shown: the token of `rpc.authenticate` is as many asterisks."""
    if _PROOF not in message:
        return message
    return _TOKEN.sub(lambda found: b"*" * len(found[0]), message)


def masking(trace: Trace) -> Trace:
    """A trace that is shown no tokens."""
    return lambda direction, message: trace(direction, masked(message))
