"""Home Assistant with nothing but MQTT; run by an interpreter that has it.

    python house.py PORT [frontend]

PORT is the broker's. Says when it is ready, where, and what a browser that is signed in has in its
local storage. Tells each change of a state on standard output, as JSON, and calls the services that
standard input names.
"""

import asyncio
import json
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, core, loader
from homeassistant.auth.const import GROUP_ID_ADMIN
from homeassistant.config_entries import ConfigEntries

ENTRY: dict[str, Any] = {
    "created_at": "2025-01-01T00:00:00+00:00",
    "modified_at": "2025-01-01T00:00:00+00:00",
    "data": {},
    "disabled_by": None,
    "discovery_keys": {},
    "domain": "mqtt",
    "entry_id": "0123456789abcdef0123456789abcdef",
    "minor_version": 2,
    "options": {},
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "source": "user",
    "subentries": [],
    "title": "MQTT",
    "unique_id": None,
    "version": 1,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def keep(storage: Path, key: str, version: int, minor: int, data: object) -> None:
    """Write what Home Assistant finds when it starts."""
    kept = {"version": version, "minor_version": minor, "key": key, "data": data}
    (storage / key).write_text(json.dumps(kept))


def tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")  # in one piece: several threads tell
    sys.stdout.flush()


def report(event: Any) -> None:
    state = event.data["new_state"]
    tell(
        entity=event.data["entity_id"],
        state=None if state is None else state.state,
        name=None if state is None else state.attributes.get("friendly_name"),
    )


async def signed_in(hass: core.HomeAssistant, url: str) -> dict[str, str]:
    """The local storage of the browser of an owner."""
    owner = await hass.auth.async_create_user("Owner", group_ids=[GROUP_ID_ADMIN])
    client = f"{url}/"
    refresh = await hass.auth.async_create_refresh_token(owner, client)
    tokens = {
        "hassUrl": url,
        "clientId": client,
        "access_token": hass.auth.async_create_access_token(refresh),
        "refresh_token": refresh.token,
        "token_type": "Bearer",
        "expires_in": 1800,
        "expires": int(time.time() + 1800) * 1000,
    }
    return {"hassTokens": json.dumps(tokens)}


async def main(folder: str, port: int, *parts: str) -> None:
    storage = Path(folder, ".storage")
    storage.mkdir()
    Path(folder, "configuration.yaml").touch()
    entry = ENTRY | {"data": {"broker": "127.0.0.1", "port": port}}
    keep(storage, "core.config_entries", 1, 5, {"entries": [entry]})
    keep(storage, "onboarding", 4, 1, {"done": ["user", "core_config", "analytics", "integration"]})
    hass = core.HomeAssistant(folder)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = ConfigEntries(hass, {})
    hass.bus.async_listen("state_changed", report)
    here = {"server_host": "127.0.0.1", "server_port": free_port()}
    config: dict[str, Any] = {"http": here, **{part: {} for part in parts}}
    assert await bootstrap.async_from_config_dict(config, hass)
    await hass.async_start()
    url = f"http://127.0.0.1:{here['server_port']}"
    tell(ready=True, url=url, storage=await signed_in(hass, url))
    reader = asyncio.StreamReader()
    await hass.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        await hass.services.async_call(
            order["domain"], order["service"], order["data"], blocking=True
        )
    await hass.async_stop(force=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder, int(sys.argv[1]), *sys.argv[2:]))
