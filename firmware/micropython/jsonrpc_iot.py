"""JSON-RPC for devices in MicroPython: methods for others to call, and calls to them.

    rpc = Rpc()

    @rpc.method("lamp.set", ("level", range(101)), idempotent=True)
    def set_level(level):
        lamp.duty(level)

    asyncio.run(Uart(rpc, UART(1, 115200)).run())

`jsonrpc_iot_methods` has what methods are. Links, and what few devices need, are in other files
beside this one, which are loaded when they are used.
"""

import asyncio
import hashlib
import os
from time import ticks_diff, ticks_ms

from jsonrpc_iot_json import dumps, loads
from jsonrpc_iot_methods import Rpc, RpcError, bind, invalid, too_large  # noqa: F401

KEPT_MS = 30_000  # for which it is known what has run and what was sent
DOUBLED_MS = 500  # after a response, in which a copy of its request was made by the link
ROOM = 4096  # bytes of responses that a link remembers
INVALID, BUSY = (-32600, "Invalid request"), (-32004, "Busy", {"retry_after": 1})
UNKNOWN, LATE = (-32011, "not known whether it ran"), (-32002, "Deadline exceeded")


class Link:
    """What all links do: take messages, answer them, and call the other end.

    Args:
        rpc: the methods of this end.
        limit: bytes of the longest message, both ways.
    """

    first = per_byte = 0  # seconds until a call is repeated, where messages get lost
    shared = False  # whether others may read what is meant for this end

    def __init__(self, rpc, limit):
        self.rpc, self.limit = rpc, limit
        self.peers = {}  # by address: when it was heard, its dialect, whether it knows extensions
        self.calls, self._sent = {}, []  # ours, by id; and requests that may come back as echoes
        self._running, self.flows = [], {}  # theirs: address, id and task; and results item by item
        self._seen = {}  # theirs: response, when it left, whether a copy was extended, address
        self._secret, self._since = os.urandom(16), ticks_ms()
        self.id, self.is_over = int.from_bytes(os.urandom(4), "big") >> 2, False
        self._budget, self._refused = 21, ticks_ms()
        rpc.links.append(self)

    async def receive(self, data, address=None):
        """Take one message; nothing that comes ends the link."""
        try:
            m = loads(data)
        except ValueError:
            return await self.refuse(RpcError(-32700, "Parse error"), address)
        except MemoryError:
            return await self.refuse(too_large(len(data), len(data) - 1), address)
        try:
            if isinstance(m, dict):
                await self.take(m, data, address)
            elif isinstance(m, list) and 0 < len(m) <= 256:
                await _part("batch").take(self, m, data, address)
            else:
                await self.refuse(RpcError(*INVALID), address)
        except Exception as error:
            self.rpc.log(error)

    async def refuse(self, error, address):
        """Answer what is no message; not for ever, as it may be the answer to such an answer."""
        now = ticks_ms()
        self._budget = min(21, self._budget + abs(ticks_diff(now, self._refused)) / 1000)
        self._refused = now
        if self._budget >= 1:
            self._budget -= 1
            await self.send(self.response(self.head(address), error), address)

    def head(self, address):
        """How a response begins whose request has no id."""
        return head_of(self.peers.get(address, (0, None))[1] is not False, None)

    async def take(self, m, data, address, out=None):
        """Take an object: a request, a notification, or a response."""
        method, id, params = m.get("method"), m.get("id"), m.get("params")
        now, v2, is_outcome = ticks_ms(), m.get("jsonrpc") == "2.0", "result" in m or "error" in m
        if "method" not in m and (is_outcome or (type(id) is int and id in self.calls)):
            return self._hear(m, id, address)
        has_id = type(id) in (int, str) or id is None or (type(id) is float and id - id == 0)
        is_silent, timeout = "id" not in m and isinstance(method, str), m.get("timeout", 1)
        is_right = isinstance(method, str) and has_id and not is_outcome
        is_right = is_right and (v2 or "jsonrpc" not in m) and type(timeout) in (int, float)
        head = None if is_silent else head_of(v2, id if has_id else None)
        is_right = is_right and type(m.get("retry", True)) is type(m.get("stream", True)) is bool
        if not is_right or timeout <= 0 or type(params) not in (dict, list, type(None)):
            if not is_silent and out is None and (id is None or not has_id):
                return await self.refuse(RpcError(*INVALID), address)
            return await self.reply(self.response(head, RpcError(*INVALID)), None, address, out)
        digest = self._sent and hashlib.sha256(data).digest()
        for at, sent in self._sent:
            if sent == digest and ticks_diff(now, at) < KEPT_MS:
                return None  # an echo
        extended = "timeout" in m or "retry" in m or "stream" in m
        self.peers[address] = now, v2, extended or self.peers.get(address, (0, 0, None))[2]
        self._budget = 21
        if is_silent and method == "rpc.cancel" and isinstance(params, dict):
            return self._cancel(params.get("id"), address)
        if is_silent and method == "rpc.more" and isinstance(params, dict) and self.flows:
            return await _part("items").more(self, address, params)
        await self._run(m, head, address, extended, out)

    async def _run(self, m, head, address, extended, out):
        """Run a call: at once, or beside what comes next where its handler waits."""
        key, name, params = None, m["method"], m.get("params")
        try:
            if name not in self.rpc.methods:
                raise RpcError(-32601, "Method not found")
            function, declared, idempotent, peer, items = self.rpc.methods[name]
            idempotent = idempotent and not m.get("stream")  # a second stream would begin anew
            if self.first and idempotent and m.get("retry") is True:
                for where, each, _ in self._running:
                    if where == address and each == m.get("id"):
                        return None  # it runs, or its response is about to leave
            if self.first and head and out is None and not idempotent:
                key = self.key(address, head, name, params)
                answer = self.admit(key, m, head, extended, address)
                if answer is not None:
                    return await self.reply(answer, answer and key, address)
            values = bind(declared, params or ())
            result = function(self, address, *values) if peer else function(*values)
            waits = hasattr(result, "send") and not items
            streams = m.get("stream") is True and (waits or items or isinstance(result, list))
            result = list(result) if items and not streams else result
        except Exception as error:
            return await self.reply(self.response(head, error), key, address, out)
        if not waits and not streams:
            return await self.reply(self.response(head, None, result), key, address, out)
        work = self._work(result, head, address, m, waits, streams)
        if out is not None:
            return out.append(await work)
        if len(self._running) < self.rpc.in_flight:
            return await self.start(work, key, address, m.get("id"))
        self._seen.pop(key, None)
        await self.reply(self.response(head, RpcError(*BUSY)), None, address)

    async def _work(self, result, head, address, m, waits, streams):
        """The response to a call that takes its time."""

        async def finish(result):
            try:
                result = await result if waits else result
                if streams and not isinstance(result, (dict, str)):
                    result = await _part("items").send(self, address, m, result)
                return self.response(head, None, result)
            except Exception as error:
                return self.response(head, error)

        try:
            return await asyncio.wait_for(finish(result), min(m.get("timeout", 86400), 86400))
        except asyncio.TimeoutError:
            return self.response(head, RpcError(*LATE))
        except asyncio.CancelledError:
            return self.response(head, RpcError(-32003, "Cancelled"))

    async def start(self, work, key, address, id):
        """Let a call run beside what comes next; then its response leaves."""

        async def run():
            try:
                await self.reply(await work, key, address)
            finally:
                self._running.remove(entry)

        entry = [address, id, None]
        self._running.append(entry)
        entry[2] = asyncio.create_task(run())
        await asyncio.sleep(0)  # what has not begun would be cancelled without an answer

    def _cancel(self, id, address):
        found = False
        for where, each, task in self._running:
            if where == address and each == id:
                found = True
                task.cancel()
        if self.first and not found:  # it may have overtaken its request
            self._enter(self.key(address, id), ticks_ms(), False, address)

    def key(self, *parts):
        """What tells a request from others: nobody can make two that have the same."""
        return hashlib.sha256(self._secret + repr(parts).encode()).digest()

    def admit(self, key, m, head, extended, address):
        """`None`: run it, which is once, and `reply`. Else how it is answered, `b""` for not."""
        self.tidy()
        now, retry, entry, error = ticks_ms(), m.get("retry") is True, self._seen.get(key), None
        if entry:
            extended = entry[2] = extended or entry[2]
            if entry[1] is None:
                return b""  # it runs
            if extended or ticks_diff(now, entry[1]) <= DOUBLED_MS:
                error = RpcError(-32603, "reply no longer held")
                return self.response(head, error) if entry[0] is None else entry[0]
            del self._seen[key]
        if not self._enter(key, None, extended, address):
            error = RpcError(*BUSY)
        elif self._seen.pop(self.key(address, m["id"]), None):
            error = RpcError(-32003, "Cancelled")
        elif retry and self._since is not None:
            error = RpcError(*UNKNOWN, {"listening": ticks_diff(now, self._since) / 1000})
        elif m.get("timeout", 1) <= 1e-6:  # nobody waits for it any more
            error = RpcError(*UNKNOWN) if retry else RpcError(*LATE)
        return error and self.response(head, error)

    def _enter(self, key, at, extended, address):
        mine = 0
        for each in self._seen.values():
            mine += each[3] == address
        room = self.rpc.remembered - len(self._seen) + mine
        if mine < (room if address is None else room // 4):
            self._seen[key] = [None, at, extended, address]
        return key in self._seen

    def close(self):
        """The connection is over: end all calls."""
        self.is_over = True
        self.rpc.links.remove(self)
        for _, _, task in self._running:
            task.cancel()
        for call in self.calls.values():
            call[0].set()

    def tidy(self):
        """Forget what is old."""
        now = ticks_ms()
        if self._since is not None and ticks_diff(now, self._since) >= KEPT_MS:
            self._since = None  # what is repeated from now on must have come here before
        for key, entry in list(self._seen.items()):
            if entry[1] is not None and ticks_diff(now, entry[1]) > KEPT_MS:
                del self._seen[key]
        for address, (heard, _, _) in list(self.peers.items()):
            if address is not None and ticks_diff(now, heard) > 2 * KEPT_MS:
                del self.peers[address]

    async def reply(self, response, key, address, out=None):
        """Send a response, where there is one, or put it into a list; and remember it."""
        try:
            if out is not None:
                out.append(response)
            elif response:
                await self.send(response, address)
        finally:
            entry = self._seen.get(key)
            if entry:  # it has left, or there was no memory for that
                entry[1], held = ticks_ms(), len(response)
                for each in self._seen.values():
                    held += len(each[0] or b"")
                entry[0] = response if held <= ROOM else None

    async def send(self, message, address=None):
        """Send bytes."""
        try:
            await self.put(message, address)
        except OSError:  # the other end is gone, or there is no room: as if it was lost
            pass

    def response(self, head, error, result=None):
        """The bytes of a response that fits, `b""` for none; of an error, as much of it as does."""
        if error is None and head:
            try:
                message = f'{head},"result":{dumps(result)}}}'.encode()
                if len(message) <= self.limit:
                    return message
                error = too_large(len(message), self.limit)
            except Exception as wrong:
                error = wrong
        if error and not isinstance(error, RpcError):
            self.rpc.log(error)
            error = RpcError(-32603, "Internal error")
        if not head:
            return b""
        for text, data in ((error.message, error.data), (error.message, None), ("", None)):
            value = {"code": error.code, "message": text}
            if data is not None:
                value["data"] = data
            try:
                message = f'{head},"error":{dumps(value)}}}'.encode()
                if len(message) <= self.limit:
                    return message
            except Exception:  # what is no JSON
                pass
        return b""

    def _hear(self, m, id, address):
        if id is None and "error" in m and len(self.calls) == 2 and not self.shared:
            id = max(self.calls)  # the only call, as the other id is that of its ping
        if type(id) is int and id in self.calls and self.calls[id][2] == address:
            self.calls[id][1] = m
            self.calls[id][0].set()

    async def notify(self, method, params=None, to=None):
        """Send a notification to an address, that of the other end where there is one alone."""
        await self.ask("", method, params, to)

    async def ask(self, members, method, params, to):
        """Send a request, whose members stand in front, or a notification; returns its size."""
        head = '{"jsonrpc":"2.0",' if self.peers.get(to, (0, False))[1] else "{"
        tail = "}" if params is None else f',"params":{dumps(params)}}}'
        message = f'{head}{members}"method":{dumps(method)}{tail}'.encode()
        if len(message) > self.limit:
            raise ValueError("the message is too large", len(message))
        if members:
            self._sent = self._sent[-15:] + [(ticks_ms(), hashlib.sha256(message).digest())]
        await self.send(message, to)
        return len(message)

    async def call(self, method, params=None, timeout=10, idempotent=False, to=None):
        """Call a method of the other end, of that at the address `to` where there may be several.

        Returns the result. Raises RpcError, what it answers; asyncio.TimeoutError after so many
        seconds; OSError where the connection has ended; ValueError where the request is too large,
        or the response none. What is idempotent may be sent again to who forgets what has run.
        """
        return await _part("calls").call(self, method, params, timeout, idempotent, to)


def head_of(v2, id):
    """How a response begins."""
    return ('{"jsonrpc":"2.0","id":' if v2 else '{"id":') + dumps(id)


def _part(name):
    return __import__("jsonrpc_iot_" + name)


def __getattr__(name):
    places = {"Uart": "uart", "Udp": "udp", "Connection": "tcp", "serve_tcp": "tcp"}
    if name not in places:
        raise AttributeError(name)
    return getattr(_part(places[name]), name)
