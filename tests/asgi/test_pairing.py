"""Pairing by a web program that is there already."""

from pathlib import Path

import httpx2
import pytest

from jsonrpc_iot import Dispatcher, Keyring, Pairing, asgi_app
from jsonrpc_iot.trust.keyring import bearer_token
from jsonrpc_iot.trust.pairing import Members, pair

from .test_principals import bearer

pytestmark = pytest.mark.anyio


async def test_a_key_from_a_web_program_counts_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    pairing = Pairing(Keyring(path), "1234-5678", ["switch"])
    pairing.open()
    dispatcher = Dispatcher()
    dispatcher.method("switch", requires="switch")(lambda: "switched")
    app = asgi_app(dispatcher, pairing=pairing, strangers=False)
    transport = httpx2.ASGITransport(app, client=("192.0.2.5", 5))
    async with httpx2.AsyncClient(transport=transport, base_url="http://lamp/rpc") as http:

        async def call(params: Members) -> Members:
            message = {"method": "rpc.pair", "id": 1, "params": params}
            result: Members = (await http.post("", json=message)).json()["result"]
            return result

        assert (await http.post("/switch", json={})).status_code == 401
        token = bearer_token(await pair(call, "1234-5678", "app"))
        assert (await http.post("/switch", json={}, headers=bearer(token))).json() == "switched"
        refused = (await http.post("/rpc.pair", json={"spake": "AAAA"})).json()
        assert refused["message"] == "Pairing is not open"
