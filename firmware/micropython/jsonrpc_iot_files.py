"""The service `files` for `jsonrpc_iot`: a folder whose files others put, get and list.

What has come of a file is kept in the hidden folder `.jsonrpc-iot` there: `ID.part` has its bytes,
`ID.json` says what it is to be. It takes its name when it is whole and right, in one step where the
file system has such, as littlefs does. No more than a message of it is held in memory.
"""

import asyncio
import binascii
import hashlib
import json
import os
from time import ticks_diff, ticks_ms

from jsonrpc_iot_methods import RpcError, invalid

IDLE_MS = 3_600_000  # without a write, after which a transfer is forgotten
YIELD_MS = 30_000  # without a write, after which other content of that name is let in
FULL = 28  # the error number of a full disk
BLOCK = 512
ENVELOPE = 155  # bytes of a message beside the Base64 in it, and those of size and hash


class Files:
    """The files of a folder.

    Args:
        rpc: gets the methods.
        root: the folder; it is made if it is not there.
        most: transfers at a time.
    """

    def __init__(self, rpc, root, most=4):
        self.root, self._most = root.rstrip("/"), most
        self._hidden = self.root + "/.jsonrpc-iot"
        self._open = {}  # by id: what it is to be, and when the last bytes of it came
        self._done = self._hashed = None  # the last transfer; the last file that was read
        for folder in (self.root, self._hidden):
            make_folder(folder)
        self._load()
        name, transfer, offset = ("name", str), ("transfer", object), ("offset", int)
        about = (name, ("size", int), ("sha256", str), ("replace", bool, False))
        again = {"idempotent": True}
        rpc.method("files.list", ("path", str, ""), items=True, **again)(self.list)
        rpc.method("files.stat", name, **again)(self.stat)
        rpc.method("files.delete", name)(self.delete)
        rpc.method("files.begin", *about, peer=True, **again)(self.begin)
        rpc.method("files.write", transfer, offset, ("data", str), **again)(self.write)
        rpc.method("files.commit", transfer)(self.commit)
        rpc.method("files.abort", transfer, **again)(self.abort)
        rpc.method("files.read", name, offset, ("length", int), peer=True, **again)(self.read)

    def list(self, path):
        """Returns an iterator over the files there, and in the folders of it."""
        place = self._place(path) if path else self.root
        if not is_folder(place):
            raise RpcError(3001, "No such file")
        return self._entries(path)

    def _entries(self, path):
        folders = [path]
        while folders:
            folder = folders.pop()
            for entry in os.ilistdir(self.root + "/" + folder):
                name = folder + "/" + entry[0] if folder else entry[0]
                if entry[0].startswith("."):
                    continue
                if entry[1] & 0x4000:
                    folders.append(name)
                else:
                    yield {"name": name, "size": size_of(self.root + "/" + name)}

    async def stat(self, name):
        """What there is of that name."""
        place = self._file(name)
        return {"name": name, "size": size_of(place), "sha256": await self._hash(place)}

    def delete(self, name):
        """Remove a file."""
        os.remove(self._file(name))
        self._hashed = None

    async def begin(self, link, address, name, size, sha256, replace):
        """Begin a transfer, or go on with it."""
        place = self._place(name)
        there, id = size_of(place), hash_text(f"{name}\n{size}\n{sha256}")[:8]
        if size < 0 or len(sha256) != 64:
            raise invalid("$", "no file can be so")
        if is_folder(place):
            raise not_allowed("it is no file")
        if there == size and await self._hash(place) == sha256:
            self.abort(id)
            return {"transfer": None, "offset": size}
        if there is not None and not replace:
            raise RpcError(3002, "File exists")
        wanted = {"name": name, "size": size, "sha256": sha256, "replace": replace}
        if id not in self._open:
            self._make_way(wanted)
        save(self._path(id, "json"), wanted)
        self._open[id] = [wanted, ticks_ms()]
        part = size_of(self._path(id, "part")) or 0
        return {"transfer": id, "offset": part, "chunk": room(link), "window": window(link)}

    def write(self, transfer, offset, data):
        """Take the next bytes; returns how many are there."""
        wanted, part = self._wanted(transfer), self._path(transfer, "part")
        there, data = size_of(part) or 0, decode(data)
        if offset == there and data:
            if there + len(data) > wanted["size"]:
                raise invalid("$.data", f"the file has {wanted['size']} bytes")
            try:
                with open(part, "ab") as file:
                    file.write(data)
            except OSError as error:
                if error.args[0] == FULL:
                    raise no_room(free_in(self.root)) from None
                raise
            self._open[transfer][1] = ticks_ms()
            there += len(data)
        return {"offset": there}

    async def commit(self, transfer):
        """Have a file that is whole and right take its place."""
        if self._done and self._done[0] == transfer:
            return {"sha256": self._done[1]}  # the answer was lost
        wanted, part = self._wanted(transfer), self._path(transfer, "part")
        if wanted["size"] == 0:
            open(part, "ab").close()
        missing(size_of(part) or 0, wanted["size"])
        found = await hash_of(part)
        self._wanted(transfer)  # it may have been aborted meanwhile
        if found != wanted["sha256"]:
            self.abort(transfer)
            raise RpcError(3101, "Hash is wrong")
        place = self._place(wanted["name"])
        if size_of(place) is not None and not wanted["replace"]:
            raise RpcError(3002, "File exists")
        for folder in self._folders(wanted["name"]):
            make_folder(folder)
        os.rename(part, place)
        self._hashed = None
        self._done = transfer, found
        self.abort(transfer)
        return {"sha256": found}

    def abort(self, transfer):
        """Forget a transfer, and what has come of it."""
        if isinstance(transfer, str) and self._open.pop(transfer, None):
            for kind in ("json", "part"):
                remove(self._path(transfer, kind))

    async def read(self, link, address, name, offset, length):
        """Some bytes of a file."""
        place = self._file(name)
        if offset < 0 or length < 0:
            raise invalid("$", "offset and length are 0 or more")
        with open(place, "rb") as file:
            file.seek(min(offset, size_of(place)))
            data = file.read(min(length, room(link)))
        piece = {"data": binascii.b2a_base64(data)[:-1].decode()}
        if offset == 0 or link.limit >= 1024:
            piece["size"], piece["sha256"] = size_of(place), await self._hash(place)
        return piece

    def _place(self, name):
        """Where a file of that name is, or would be."""
        parts = name.split("/")
        if len(name) > 200 or any(not part.strip() or part.startswith(".") for part in parts):
            raise not_allowed("no plain name")
        if any(c in '\\:*?"<>|' or ord(c) < 32 or ord(c) == 127 for c in name):
            raise not_allowed("it has a character that names cannot have everywhere")
        if any(size_of(each) is not None and not is_folder(each) for each in self._folders(name)):
            raise not_allowed("it is below a file")
        return self.root + "/" + name

    def _folders(self, name):
        """Those that a file of that name is in, the outermost first."""
        parts = name.split("/")
        return [self.root + "/" + "/".join(parts[:count]) for count in range(1, len(parts))]

    def _file(self, name):
        place = self._place(name)
        if size_of(place) is None or is_folder(place):
            raise RpcError(3001, "No such file")
        return place

    def _path(self, id, kind):
        return f"{self._hidden}/{id}.{kind}"

    def _wanted(self, transfer):
        if not isinstance(transfer, str) or transfer not in self._open:
            raise invalid("$.transfer", "there is no such transfer")
        return self._open[transfer][0]

    def _make_way(self, wanted):
        """See to it that nobody else writes the name, and that there is room for one more."""
        now, free = ticks_ms(), free_in(self.root)
        for id, (each, at) in list(self._open.items()):
            age = ticks_diff(now, at)
            if age > IDLE_MS or (each["name"] == wanted["name"] and age > YIELD_MS):
                self.abort(id)
            elif each["name"] == wanted["name"]:
                raise RpcError(3005, "Busy", {"retry_after": 1 + (YIELD_MS - age) // 1000})
            else:
                free -= each["size"] - (size_of(self._path(id, "part")) or 0)
        if len(self._open) >= self._most:
            raise RpcError(3005, "Busy", {"retry_after": YIELD_MS // 1000})
        if wanted["size"] > free:
            raise no_room(max(free, 0))

    def _load(self):
        """Find what was on its way before the restart, and remove what belongs to nothing."""
        names = [entry[0] for entry in os.ilistdir(self._hidden)]
        for name in names:
            wanted = load(f"{self._hidden}/{name}") if name.endswith(".json") else None
            if wanted:
                self._open[name[:-5]] = [wanted, ticks_ms()]
        for name in names:
            if name.endswith(".new") or name.rsplit(".", 1)[0] not in self._open:
                remove(f"{self._hidden}/{name}")

    async def _hash(self, place):
        """The hash of a file, read again when it may have changed."""
        facts = place, os.stat(place)[6], os.stat(place)[8]
        if not self._hashed or self._hashed[0] != facts:
            self._hashed = facts, await hash_of(place)
        return self._hashed[1]


def not_allowed(why):
    """The error for a name."""
    return RpcError(3004, "Not allowed", {"path": "$.name", "message": why})


def no_room(free):
    """The error where there are no more bytes than these."""
    return RpcError(3003, "No room", {"free": free})


def size_of(path):
    """Bytes of a file, `None` where there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return None


def is_folder(path):
    """Whether there is a folder."""
    return size_of(path) is not None and os.stat(path)[0] & 0x4000 != 0


def make_folder(path):
    """Make a folder, if it is not there."""
    if size_of(path) is None:
        os.mkdir(path)


def remove(path):
    """Remove a file, if it is there."""
    if size_of(path) is not None:
        os.remove(path)


def save(path, value):
    """Keep a value as JSON: the old one is there until the new one is."""
    with open(path + ".new", "w") as file:
        file.write(json.dumps(value))
    os.rename(path + ".new", path)


def load(path):
    """A value that was kept, `None` where there is none."""
    try:
        with open(path) as file:
            return json.loads(file.read())
    except (OSError, ValueError):
        return None


async def hash_of(path):
    """The SHA-256 of a file, in hex; others run meanwhile."""
    hash = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            block = file.read(BLOCK)
            if not block:
                return binascii.hexlify(hash.digest()).decode()
            hash.update(block)
            await asyncio.sleep(0)


def hash_text(text):
    """The SHA-256 of a text, in hex."""
    return binascii.hexlify(hashlib.sha256(text.encode()).digest()).decode()


def decode(data):
    """The bytes of Base64."""
    try:
        return binascii.a2b_base64(data)
    except ValueError:
        raise invalid("$.data", "expected Base64") from None


def missing(there, size):
    """Refuse to go on while bytes are missing."""
    if there < size:
        about = {
            "path": "$.transfer",
            "message": "bytes are missing",
            "offset": there,
            "size": size,
        }
        raise RpcError(-32602, "Invalid params", about)


def room(link):
    """Bytes that fit one message of a link as Base64."""
    return max((link.limit - ENVELOPE) // 4 * 3, 1)


def window(link):
    """Writes that may be open at once: a serial port holds one while another is taken."""
    return 2 if link.shared else 4


def free_in(folder):
    """Bytes that are free."""
    facts = os.statvfs(folder)
    return facts[0] * facts[3]
