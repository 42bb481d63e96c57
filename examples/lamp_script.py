"""Blink the lamp from a script, without async."""

import sys

from jsonrpc_iot import ConnectFailed, InvalidParams, connect_sync

url = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:8805"
try:
    with connect_sync(url) as lamp, lamp.notifications(timeout=0.5) as news:
        for level in (100, 0, 40):
            print("was", lamp.call("lamp.set", {"level": level}, result=int))
        try:
            lamp.call("lamp.set", {"level": 400})
        except InvalidParams as error:
            print("refused", error.data)
        for notification in news:
            print("news", notification.params)
except ConnectFailed as error:
    sys.exit(str(error))
