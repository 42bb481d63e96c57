"""A person at an ESPHome device; run by an interpreter that has ESPHome.

    python press.py PORT

Tells each change of a state on standard output, as JSON, and presses what standard input names.
"""

import asyncio
import json
import sys
from typing import Any

from aioesphomeapi import APIClient, APIConnectionError


def tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(port: int) -> None:
    client = APIClient("127.0.0.1", port, None)
    while True:  # until the device listens; whoever started this has the patience
        try:
            await client.connect(login=True)
            break
        except APIConnectionError:
            await asyncio.sleep(0.1)
    entities, _ = await client.list_entities_services()
    names = {entity.key: entity.name for entity in entities}
    keys = {name: key for key, name in names.items()}

    def changed(state: Any) -> None:
        tell(
            entity=names[state.key],
            state=None if getattr(state, "missing_state", False) else state.state,
        )

    client.subscribe_states(changed)
    tell(ready=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        order = json.loads(line)
        press = getattr(client, f"{order['kind']}_command")
        press(keys[order["entity"]], order["value"])
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
