"""Arrays of messages; `jsonrpc_iot` loads this with the first one."""

from json import loads

from jsonrpc_iot_methods import RpcError, too_large

from jsonrpc_iot import INVALID, head_of


async def take(link, entries, data, address):
    """Take an array of messages, which on links that double messages runs once too."""
    key = link.key(address, data) if link.first else None
    answer = link.admit(key, {"id": None}, link.head(address), False, address) if key else None
    if answer is None:
        await link.start(_run(link, entries, address), key, address, None)
    else:
        await link.reply(answer, answer and key, address)


async def _run(link, entries, address):
    """The response to a batch: what does not fit is said to be too large, entry by entry."""
    out = []
    for m in entries:
        if isinstance(m, dict):
            await link.take(m, b"", address, out)
        else:
            out.append(link.response(link.head(address), RpcError(*INVALID)))
    out = [each for each in out if each]
    while sum(map(len, out)) + len(out) >= link.limit:
        longest = max(out, key=len)
        out.remove(longest)
        m = loads(longest)
        if "result" in m:
            error = too_large(len(longest), link.limit)
            out.append(link.response(head_of("jsonrpc" in m, m["id"]), error))
    return b"[" + b",".join(out) + b"]" if out else b""
