"""Results that leave item by item; `jsonrpc_iot` loads this when somebody wants one so."""

import asyncio
from time import ticks_diff, ticks_ms

from jsonrpc_iot_methods import RpcError, too_large

from jsonrpc_iot import KEPT_MS, head_of

CREDIT = 8  # items that leave before the other end has said anything
KEPT_ITEMS = 32  # that may have to be sent again where messages get lost
MOST_MISSING = 16  # that one message may ask for: else a small one could bring many large ones
PATIENCE = 60  # seconds until nobody seems to read


class _Flow:
    """A stream: credit, what tells of more, items that may be lost, and when it ended."""

    def __init__(self):
        self.upto, self.changed, self.kept, self.ended = CREDIT, asyncio.Event(), {}, None


async def send(link, address, m, items):
    """Send items as far as there is credit; returns the result of the call."""
    forget(link)
    flow = link.flows[address, m["id"]] = _Flow()
    count = 0
    try:
        for item in items:
            while count >= flow.upto:
                flow.changed.clear()
                try:
                    await asyncio.wait_for(flow.changed.wait(), PATIENCE)
                except asyncio.TimeoutError:
                    raise RpcError(-32003, "Cancelled", "nobody reads") from None
            params = {"id": m["id"], "seq": count, "item": item}
            if link.first:
                flow.kept[count] = params
                flow.kept.pop(count - KEPT_ITEMS, None)
            await _put(link, address, params)
            await asyncio.sleep(0)
            count += 1
    finally:
        flow.ended = ticks_ms()
        forget(link)
    return {"count": count}


async def more(link, address, params):
    """Take credit for a stream, and send again what is missing."""
    id, upto, missing = params.get("id"), params.get("upto"), params.get("missing")
    flow = None if isinstance(id, (list, dict)) else link.flows.get((address, id))
    if flow and type(upto) is int and upto > flow.upto:
        flow.upto = upto
        flow.changed.set()
    if not flow or not isinstance(missing, list):
        return None
    sent = max(flow.kept) + 1 if flow.kept else 0
    for seq in missing[:MOST_MISSING]:
        if type(seq) is not int or not 0 <= seq < sent:
            continue
        if seq in flow.kept:
            await _put(link, address, flow.kept[seq])
        elif flow.ended is not None:
            error = RpcError(-32603, "item no longer held")
            return await link.send(link.response(head_of(False, id), error), address)


async def _put(link, address, params):
    try:
        await link.ask("", "rpc.item", params, address)
    except ValueError as error:
        raise too_large(error.args[1], link.limit) from error


def forget(link):
    """Drop streams that are over: at once where none of their items gets lost."""
    now = ticks_ms()
    for key, flow in list(link.flows.items()):
        if flow.ended is not None and (not link.first or ticks_diff(now, flow.ended) > KEPT_MS):
            del link.flows[key]
