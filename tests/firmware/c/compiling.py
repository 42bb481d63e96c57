"""C is compiled once for all tests and processes: an object is kept by what it is made of."""

import hashlib
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests._system import require_command
from tests.places import ROOT

SOURCES: Final = ROOT / "firmware" / "c"
STRICT: Final = (
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
)
_KEPT: Final = ROOT / "build" / "firmware"
_SECONDS: Final = 60.0


def library() -> list[Path]:
    """The files of the library."""
    return sorted(SOURCES.glob("jrpc*.c"))


def compiled(compiler: str, flags: Sequence[str], source: Path) -> Path:
    """The object of a file.

    Args:
        compiler: its command.
        flags: of the compiler.
        source: the file.
    """
    parts = [_identity(compiler), *flags, str(source), source.read_text(), _headers()]
    target = _KEPT / f"{source.stem}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}.o"
    if not target.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=_KEPT) as work:
            made = Path(work) / "made.o"
            run_compiler(compiler, *flags, "-c", "-o", made, source)
            made.replace(target)
    return target


def run_compiler(compiler: str, *arguments: str | Path) -> None:
    """Have the compiler do something."""
    command = [require_command(compiler), *map(str, arguments)]
    subprocess.run(command, check=True, timeout=_SECONDS)


@cache
def _identity(compiler: str) -> str:
    command = [require_command(compiler), "--version"]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=_SECONDS
    ).stdout


@cache
def _headers() -> str:
    return "".join(path.read_text() for path in sorted(SOURCES.rglob("*.h")))
