"""Calls of a device to the other end of a link; `jsonrpc_iot` loads this with the first one."""

import asyncio
import os
from time import ticks_diff, ticks_ms

from jsonrpc_iot_methods import RpcError


async def call(link, method, params, timeout, idempotent, to):
    """See `Link.call`."""
    begun, event, pause, extensions = ticks_ms(), asyncio.Event(), None, None
    link.id = id = link.id % (1 << 29) + 2
    link.calls[id] = call = [event, None, to]
    link.calls[id - 1] = ping = [event, None, to]  # sent where it decides about repeating
    try:
        while call[1] is None:
            past = ticks_diff(ticks_ms(), begun) / 1000
            if link.is_over:
                raise OSError("the connection has ended")
            if past >= timeout:
                raise asyncio.TimeoutError
            event.clear()
            heard, v2, extensions = link.peers.get(to, (begun, False, None))
            if ping[1]:
                extensions = extensions or ping[1].get("result") is True
                link.peers[to] = heard, v2, extensions
            members = f'"id":{id},'
            if extensions:  # what it may have forgotten is not to begin
                members += f'"timeout":{timeout - past if past < 25 else 1e-9},'
                members += '"retry":true,' if pause else ""
            if not pause or extensions or idempotent:
                size = await link.ask(members, method, params, to)
                pause = pause or (link.first + link.per_byte * size) or 1e9  # what cannot get lost
            elif extensions is None:
                await link.ask(f'"id":{id - 1},', "rpc.ping", None, to)
            wait = min(pause * (0.8 + os.urandom(1)[0] / 640), timeout - past)
            try:
                await asyncio.wait_for(event.wait(), wait)
            except asyncio.TimeoutError:
                pause *= 2
    finally:
        del link.calls[id], link.calls[id - 1]
        if extensions and call[1] is None:
            await link.notify("rpc.cancel", {"id": id}, to)
    try:
        return _result_of(call[1])
    except RpcError as error:
        past = ticks_diff(ticks_ms(), begun) / 1000
        listening = error.data.get("listening", -1) if isinstance(error.data, dict) else -1
        if error.code != -32011 or listening < past:
            raise
    return await link.call(method, params, timeout - past, idempotent, to)  # nothing has run


def _result_of(m):
    error = m.get("error")
    if error is None and "result" in m:
        return m["result"]
    if "result" in m or not isinstance(error, dict) or type(error.get("code")) is not int:
        raise ValueError("the response is none")
    raise RpcError(error["code"], error.get("message"), error.get("data"))
