"""One conversation that every foreign program has with the device."""

from typing import Any

import msgspec

REQUESTS = (
    b'{"id":1,"method":"rpc.ping"}\n'
    b'{"id":2,"method":"echo","params":{"value":"gr\xc3\xbcn"}}\n'
    b'{"jsonrpc":"2.0","id":"three","method":"echo","params":[[1,2.5,null]]}\n'
    b'{"jsonrpc":"2.0","method":"echo","params":["never answered"]}\n'
    b'{"id":4,"method":"no.such"}\n'
    b'{"id":5,"method":"sys.info"}\n'
    b'[{"id":6,"method":"rpc.ping"},{"id":7,"method":"echo","params":{"value":7}}]\n'
    b'{"id":8,"method":"echo","params":{}}\n'
)


def check(replies: bytes) -> None:
    """Compare all that the device has answered to `REQUESTS`; the order is its own choice."""
    assert replies.endswith(b"\n")
    found: dict[Any, Any] = {}
    for line in replies.splitlines():
        reply = msgspec.json.decode(line)
        for response in reply if isinstance(reply, list) else [reply]:
            found[response.pop("id")] = response
    assert found.pop(5)["result"]["name"] == "simulated-device"
    assert found.pop(8)["error"]["code"] == -32602
    assert found == {
        1: {"result": True},
        2: {"result": "grün"},
        "three": {"jsonrpc": "2.0", "result": [1, 2.5, None]},
        4: {
            "error": {"code": -32601, "message": "Method not found", "data": {"method": "no.such"}}
        },
        6: {"result": True},
        7: {"result": 7},
    }
