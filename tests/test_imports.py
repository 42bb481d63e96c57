"""Who may import whom, read from the source of every file of the package.

Imports go one way, from folder to folder, and nowhere in a circle. Those inside functions and under
`TYPE_CHECKING` count like any other.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import places

PACKAGE = "jsonrpc_iot"
ROOT = places.ROOT / PACKAGE

API = "API"  # `from jsonrpc_iot import Name`
LINK = {"errors", "protocol", "trust", "channel"}
ANSWER = LINK | {"dispatch"}
BOTH_ENDS = ANSWER | {"peer", "transports"}

# A part is a folder of the package with all in it, or one of the three modules of its root. It may
# import the parts of its row, and what is in its own folder.
PARTS: dict[str, Set[str]] = {
    "errors": set(),
    "protocol": {"errors"},
    "trust": {"errors", "protocol"},
    "channel": {"errors", "protocol", "trust"},
    "dispatch": LINK,
    "peer": ANSWER,
    "transports": LINK,
    "asgi": ANSWER,
    "client": BOTH_ENDS,
    "server": BOTH_ENDS | {"asgi", "client"},
    "blocking": BOTH_ENDS | {"client"},
    "gateway": BOTH_ENDS | {"asgi", "client", "generate", "server", "tuya"},
    "__init__": BOTH_ENDS | {"asgi", "client", "server", "blocking", "gateway"},
    "services": {API, "protocol", "transports"},
    "tuya": BOTH_ENDS | {"client", "server"},
    "novacloud": {API, "protocol", "transports"},
    "generate": {"errors"},
    "testing": BOTH_ENDS | {"client", "server", "blocking"},
    "cli": ANSWER
    | {API, "gateway", "tuya", "transports", "services", "novacloud", "testing", "generate"},
    "__main__": {"errors", "channel", "cli"},
}

# What a part may use beyond the standard library.
CORE_DEPENDENCIES = {"anyio", "msgspec"}
DEPENDENCIES: dict[str, Set[str]] = {
    "errors": set(),
    "protocol": {"msgspec"},
    "generate": {"msgspec"},
    "trust": CORE_DEPENDENCIES | {"cryptography", "spake2", "tomlkit"},
    "client": CORE_DEPENDENCIES | {"opentelemetry"},
    "gateway": CORE_DEPENDENCIES | {"mcp"},
    "testing": CORE_DEPENDENCIES | {"bumble", "httpx2", "pytest"},
    "cli": CORE_DEPENDENCIES | {"amqtt", "rich", "serial"},
    "novacloud": CORE_DEPENDENCIES | {"asyncpg", "nats"},
    "services": CORE_DEPENDENCIES | {"cryptography", "dbus_fast"},
    "asgi": CORE_DEPENDENCIES | {"starlette"},
    # _typeshed is for type checkers alone.
    "transports": CORE_DEPENDENCIES
    | {
        "bleak",
        "bumble",
        "dbus_fast",
        "paho",
        "serial",
        "serial_asyncio_fast",
        "zeroconf",
        "ifaddr",
        "_typeshed",
    }
    | {"h11", "httpx2", "starlette", "uvicorn", "websockets"},
}

# The protocol gets bytes and the time as arguments: it has no I/O, no clock and no log of its own.
NOT_FOR: dict[str, Set[str]] = {
    "protocol": {
        "asyncio",
        "concurrent",
        "logging",
        "sched",
        "select",
        "selectors",
        "socket",
        "ssl",
        "subprocess",
        "threading",
        "time",
    },
}

# What the extras install, and more loops than the one that runs.
OPTIONAL = {
    "amqtt",
    "asyncpg",
    "bleak",
    "bumble",
    "cryptography",
    "dbus_fast",
    "h11",
    "httpx2",
    "ifaddr",
    "mcp",
    "nats",
    "opentelemetry",
    "paho",
    "pytest",
    "rich",
    "serial",
    "serial_asyncio_fast",
    "spake2",
    "starlette",
    "tomlkit",
    "trio",
    "uvicorn",
    "uvloop",
    "websockets",
    "zeroconf",
}


class Import(NamedTuple):
    """One imported module, and the line of the import."""

    line: int
    module: str


class Package:
    """The source files of a package in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = sorted(root.rglob("*.py"))
        api = root / "__init__.py"
        tree = ast.parse(api.read_bytes()) if api.exists() else ast.Module([], [])
        from_imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        self.api = {alias.asname or alias.name for node in from_imports for alias in node.names}

    def imports(self, path: Path) -> Iterator[Import]:
        """Yield every import of the file `path`."""
        package = (PACKAGE, *path.relative_to(self.root).parent.parts)
        for node in ast.walk(ast.parse(path.read_bytes(), path)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom):
                start = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join((*start, *((node.module,) if node.module else ())))
                for module in sorted({self.module(base, alias.name) for alias in node.names}):
                    yield Import(node.lineno, module)

    def module(self, base: str, name: str) -> str:
        """Return the module that `from base import name` needs: one called `name`, or `base`."""
        top, *folders = base.split(".")
        if top != PACKAGE or (not folders and name in self.api):
            return base
        place = self.root.joinpath(*folders, name)
        exists = place.is_dir() or place.with_suffix(".py").is_file()
        return f"{base}.{name}" if exists else base


def violations(package: Package) -> Iterator[str]:
    """Yield one line for each import that should not be."""
    for path in package.files:
        part = path.relative_to(package.root).parts[0].removesuffix(".py")
        if part in PARTS:
            for item in package.imports(path):
                if reason := objection(part, item.module):
                    yield f"{path}:{item.line}: {reason}"
        else:
            yield f"{path}: the part {part!r} has no row in PARTS of {Path(__file__).name}"


def objection(part: str, module: str) -> str | None:
    """Return why `part` may not import `module`, or None where it may."""
    top, _, rest = module.partition(".")
    if top == PACKAGE:
        target = rest.partition(".")[0] or API
        if target != part and target not in PARTS[part]:
            allowed = ", ".join(sorted(PARTS[part])) or "nothing"
            return f"{part} imports {module}; of this package it may import: {allowed}"
    elif top in sys.stdlib_module_names:
        if top in NOT_FOR.get(part, ()):
            return f"{part} imports {module}, which is not for {part}"
    elif top not in DEPENDENCIES.get(part, CORE_DEPENDENCIES):
        return f"{part} imports {module}, which is not a dependency of {part}"
    return None


def circles(package: Package) -> Iterator[str]:
    """Yield one line for each circle: of modules, or of what stands side by side in one folder."""
    modules = {module_name(package.root, path): path for path in package.files}
    arrows = [
        (importer, name)
        for importer, path in modules.items()
        for name in {item.module for item in package.imports(path)} - {importer}
        if name in modules
    ]
    sides: dict[str, dict[str, set[str]]] = {"": {}}  # in no folder: the modules themselves
    for importer, imported in arrows:
        sides[""].setdefault(importer, set()).add(imported)
        folder, one, other = side_by_side(package.root, modules[importer], modules[imported])
        sides.setdefault(folder, {}).setdefault(one, set()).add(other)
    for folder, graph in sides.items():
        try:
            tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            yield f"{folder or 'modules'}: " + " <- ".join(error.args[1])


def module_name(root: Path, path: Path) -> str:
    """The dotted name of a module."""
    parts = (PACKAGE, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def side_by_side(root: Path, one: Path, other: Path) -> tuple[str, str, str]:
    """The innermost folder that holds both files, and what in it leads to each."""
    ones, others = one.relative_to(root).parts, other.relative_to(root).parts
    depth = next(i for i, (a, b) in enumerate(zip(ones, others, strict=False)) if a != b)
    return "/".join((PACKAGE, *ones[:depth])), ones[depth], others[depth]


def test_imports_go_one_way() -> None:
    found = list(violations(Package(ROOT)))
    assert not found, "\n" + "\n".join(found)


def test_imports_go_in_no_circle() -> None:
    found = list(circles(Package(ROOT)))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        (
            {"peer/a.py": "from .b import B", "peer/b.py": "def f():\n    from .a import A"},
            "modules: jsonrpc_iot.peer.",
        ),
        (
            {
                "peer/a.py": "from .b import B",
                "peer/b.py": "if TYPE_CHECKING:\n    from .a import A",
            },
            "jsonrpc_iot/peer: ",
        ),
        (
            {
                "dispatch/run/a.py": "from ..declare.b import B",
                "dispatch/declare/b.py": "from ..run.c import C",
                "dispatch/run/c.py": "",
            },
            "jsonrpc_iot/dispatch: ",
        ),
        (
            {
                "gatt/__init__.py": "from .a import A",
                "gatt/a.py": "from . import A",
            },
            "modules: jsonrpc_iot.gatt",
        ),
    ],
    ids=["in a function", "for types alone", "of folders", "through a package"],
)
def test_a_circle_is_found(tmp_path: Path, files: dict[str, str], circle: str) -> None:
    for file, source in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(source)

    assert any(found.startswith(circle) for found in circles(Package(tmp_path)))


@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("errors.py", "import jsonrpc_iot.protocol.codec", "may import: nothing"),
        ("errors.py", "import msgspec", "errors imports msgspec, which is not a dependency"),
        ("protocol/x.py", "import anyio", "protocol imports anyio, which is not a dependency"),
        (
            "protocol/x.py",
            "def f():\n    from time import monotonic",
            "x.py:2: protocol imports time",
        ),
        (
            "protocol/x.py",
            "from ..channel.url import Url",
            "protocol imports jsonrpc_iot.channel.url",
        ),
        ("protocol/x.py", "from .. import channel", "protocol imports jsonrpc_iot.channel"),
        ("channel/x.py", "from .. import Client", "channel imports jsonrpc_iot;"),
        ("transports/x.py", "from jsonrpc_iot import peer", "transports imports jsonrpc_iot.peer"),
        (
            "transports/x.py",
            "import pydantic",
            "transports imports pydantic, which is not a dependency",
        ),
        ("services/x.py", "from ..dispatch import A", "services imports jsonrpc_iot.dispatch"),
        ("services/wifi/x.py", "from ... import peer", "services imports jsonrpc_iot.peer"),
        ("client/x.py", "import jsonrpc_iot.cli", "client imports jsonrpc_iot.cli"),
        ("client/x.py", "from ..server.y import serve", "client imports jsonrpc_iot.server"),
        ("stray.py", "", "the part 'stray' has no row"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, source: str, message: str) -> None:
    for name in ("channel/url.py", "peer/peer.py", "client/y.py", "server/y.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / file).write_text(source)

    (found,) = violations(Package(tmp_path))

    assert message in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("protocol/x.py", "import json, msgspec\nfrom . import y\nfrom ..errors import ParseError"),
        (
            "transports/x.py",
            "import socket, anyio\nfrom ..channel import Channel\nfrom . import tcp",
        ),
        ("services/wifi/x.py", "from .interface import Wifi\nfrom ..system import System"),
        ("cli/x.py", "import rich\nfrom jsonrpc_iot import connect\nimport jsonrpc_iot.services"),
        ("__init__.py", "from .client import connect\nfrom jsonrpc_iot.server import serve"),
    ],
)
def test_a_right_import_passes(tmp_path: Path, file: str, source: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(source)

    assert list(violations(Package(tmp_path))) == []


def test_a_public_name_is_not_taken_for_the_folder_of_that_name(tmp_path: Path) -> None:
    for folder in ("server", "services"):
        (tmp_path / folder).mkdir()
    (tmp_path / "__init__.py").write_text("from .server.server import server")
    (tmp_path / "services/x.py").write_text("from jsonrpc_iot import server")

    assert list(violations(Package(tmp_path))) == []


def run_python(program: str, *arguments: str) -> str:
    """Run a program in a fresh interpreter and return what it printed."""
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_api_loads_nothing_optional() -> None:
    program = f"import json, sys, {PACKAGE}; print(json.dumps(list(sys.modules)))"
    loaded = {name.partition(".")[0] for name in json.loads(run_python(program))}

    assert loaded & OPTIONAL == set()


AS_ON_WINDOWS = """
import builtins, importlib, os, signal, socket, sys

package, *names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == package]:
    del sys.modules[name]

# From here on only the package itself is loaded anew.
sys.platform, os.name = "win32", "nt"
for module, unix_only in (
    (os, "chown fchmod fork getegid geteuid getgid getuid mkfifo openpty O_NONBLOCK sysconf uname"),
    (signal, "SIGALRM SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 pthread_sigmask"),
    (socket, "AF_UNIX CMSG_LEN SCM_RIGHTS SO_PEERCRED SO_REUSEPORT recv_fds send_fds"),
):
    for name in unix_only.split():
        if hasattr(module, name):
            delattr(module, name)

missing = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
real_import = builtins.__import__


def import_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if not level and name in missing and importer.partition(".")[0] == package:
        raise ModuleNotFoundError(f"{importer} imports {name}, which Windows has not")
    return real_import(name, globals, locals, fromlist, level)


builtins.__import__ = import_as_on_windows
for name in names:
    importlib.import_module(name)
"""


def test_every_module_imports_without_what_only_unix_has() -> None:
    names = []
    for path in Package(ROOT).files:
        parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
        names.append(".".join(parts).removesuffix(".__init__"))

    run_python(AS_ON_WINDOWS, PACKAGE, *names)
