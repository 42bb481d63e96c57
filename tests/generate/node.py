"""The compiler of TypeScript, and Node."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests._system import lack, require_command
from tests.npm import Package, unpacked

SECONDS = 200.0  # not a bound on anything: a busy machine takes its time
TYPESCRIPT = Package(
    "typescript",
    "5.9.3",
    "jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw==",
)
COMPILE = Path(__file__).with_name("compile.cjs")


class Compiled(NamedTuple):
    """What the compiler says.

    Args:
        complaints: what it does not accept.
        code: what made parts of clients do beyond calling their link.
    """

    complaints: list[str]
    code: list[str]


def compiled(request: pytest.FixtureRequest, folder: Path, sources: dict[str, str]) -> Compiled:
    """Compile programs.

    Args:
        request: of the test; what is fetched is kept in its cache.
        folder: where all is done; the results are in its folder `made`, as modules for Node.
        sources: of the programs, by name.
    """
    node = require_command("node")
    cache = request.config.cache
    assert cache is not None
    library = unpacked(TYPESCRIPT, cache.mkdir("typescript"), folder, "lib/[lt][iy][bp]*.[jt]s")
    made = folder / "made"
    made.mkdir()
    paths = [made / f"{name}.ts" for name in sources]
    for path, source in zip(paths, sources.values(), strict=True):
        path.write_text(source, encoding="utf-8")
    (made / "package.json").write_text('{"type": "module"}')
    done = _run([node, str(COMPILE), str(library), str(made), *map(str, paths)], folder)
    return Compiled(**json.loads(done))


def ran(folder: Path, script: str, *arguments: str, flags: Iterable[str] = ()) -> str:
    """Run a program that was compiled in a folder; gives what it prints."""
    return _run([require_command("node"), *flags, script, *arguments], folder / "made")


def flags_for_sockets() -> list[str]:
    """What Node needs to have a WebSocket."""
    node = require_command("node")
    program = ["-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    flags: list[str] = []
    if subprocess.run([node, *program], check=False).returncode:
        flags = ["--experimental-websocket"]
        if subprocess.run([node, *flags, *program], capture_output=True, check=False).returncode:
            lack("this Node has no WebSocket: 20 or newer is needed")
    return flags


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
