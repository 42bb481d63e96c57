"""The page about the protocol has the rules of the vectors, and the figures of the code."""

import re

import pytest

from jsonrpc_iot import RpcError, errors
from jsonrpc_iot.protocol.duplicates import DOUBLED_SECONDS, RETRY_SECONDS
from jsonrpc_iot.protocol.items import FIRST_CREDIT
from jsonrpc_iot.protocol.limits import Limits
from jsonrpc_iot.protocol.seal.client import OLD_SECONDS, RENEW_SECONDS
from jsonrpc_iot.protocol.seal.server import HALF_OPEN_SECONDS
from jsonrpc_iot.protocol.seal.window import SIZE
from jsonrpc_iot.protocol.segments.sender import MAX_SEGMENTS
from jsonrpc_iot.protocol.tuya.frame import Command, encode_frame
from jsonrpc_iot.transports.gatt._options import RX, SERVICE, TX
from jsonrpc_iot.transports.packets import udp
from tests.places import ROOT
from tests.vectors import VECTORS, read_vectors

PAGE = " ".join((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", sorted(path.stem for path in VECTORS.glob("*.jsonl")))
def test_each_vector_is_about_a_sentence_of_the_page(name: str) -> None:
    vectors = read_vectors(name)

    assert {each["rule"] for each in vectors if each["rule"] not in PAGE} == set()
    names = [each["name"] for each in vectors]
    assert len(set(names)) == len(names)


def test_the_page_has_every_code() -> None:
    shown = {int(code) for code in re.findall(r"\| (-32\d{3}) \|", PAGE)}

    defined = {kind.code for kind in vars(errors).values() if _is_error(kind)}
    assert shown == {code for code in defined if -32_768 <= code <= -32_000}


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, RpcError)


def test_the_frame_of_the_page() -> None:
    frame = encode_frame(Command.RPC, b'{"id":1,"method":"rpc.ping"}')

    assert frame.hex(" ").upper() in PAGE


@pytest.mark.parametrize(
    "figure",
    [
        f"within {DOUBLED_SECONDS:g} s after the response has left",
        f"until {RETRY_SECONDS:g} s after its end",
        f"At most {FIRST_CREDIT} items leave",
        f"more than {Limits().batch} messages",
        f"deeper than {Limits().nesting} levels",
        f"{MAX_SEGMENTS:,} segments a message",
        f"older than the last {SIZE:,}",
        f"after {RENEW_SECONDS / 3600:g} hours",
        f"of the old session for {OLD_SECONDS:g} s more",
        f"by the hello's bytes for {HALF_OPEN_SECONDS:g} s",
        f"| UDP | {udp.RETRY_SECONDS:g} s |",
        *(f"`{uuid}`" for uuid in (SERVICE, TX, RX)),
    ],
)
def test_the_figures_of_the_page(figure: str) -> None:
    assert figure in PAGE
