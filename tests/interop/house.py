"""Home Assistant with nothing but MQTT; run by an interpreter that has it.

    python house.py PORT

Tells each change of a state on standard output, as JSON, and calls the services that standard input
names.
"""

import asyncio
import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, core, loader
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


async def main(folder: str, port: int) -> None:
    storage = Path(folder, ".storage")
    storage.mkdir()
    Path(folder, "configuration.yaml").touch()
    entry = ENTRY | {"data": {"broker": "127.0.0.1", "port": port}}
    kept = {"version": 1, "minor_version": 5, "key": "core.config_entries"}
    (storage / "core.config_entries").write_text(json.dumps(kept | {"data": {"entries": [entry]}}))
    hass = core.HomeAssistant(folder)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = ConfigEntries(hass, {})
    hass.bus.async_listen("state_changed", report)
    assert await bootstrap.async_from_config_dict(
        {"http": {"server_host": "127.0.0.1", "server_port": free_port()}}, hass
    )
    await hass.async_start()
    tell(ready=True)
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
        asyncio.run(main(folder, int(sys.argv[1])))
