"""How much of a Cortex-M3 each part of the peer in C takes: `python -m tests.firmware.c.sizes`."""

import re
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests._system import require_command
from tests.waiting import SECONDS

from .board import COMPILER, CORTEX_M3, object_of
from .compiling import SOURCES, library, run_compiler

PARTS: Final = {
    "core": "jrpc answer check json methods params write",
    "values": "values",
    "lossy channels": "lossy digest",
    "later": "later",
    "calls": "calls",
    "Tuya": "tuya",
    "stream": "stream",
    "segments": "segments",
    "seal": "seal noise",
    "files": "files",
    "firmware": "firmware",
    "flash, for these two": "flash",
    "SHA-256 and Base64, for these four": "sha256 base",
}
"""The files of each, without `jrpc_`."""

STRUCTURES: Final = {
    "jrpc": "jrpc.h",
    "jrpc_remembered": "jrpc_lossy.h",
    "jrpc_pending": "jrpc_later.h",
    "jrpc_open": "jrpc_calls.h",
    "jrpc_tuya": "jrpc_tuya.h",
    "jrpc_stream": "jrpc_stream.h",
    "jrpc_segments": "jrpc_segments.h",
    "jrpc_seal": "jrpc_seal.h",
    "jrpc_seal_session": "jrpc_seal.h",
    "jrpc_files": "jrpc_files.h",
    "jrpc_firmware": "jrpc_firmware.h",
}
"""What a program has in its RAM, and the header that says so."""


@cache
def code() -> dict[str, int]:
    """The bytes of each part, whole: constants count, and what a program does not use."""
    return {
        part: sum(_bytes_of(SOURCES / f"{_stem(file)}.c", "text", "data") for file in files.split())
        for part, files in PARTS.items()
    }


def memory() -> dict[str, int]:
    """The bytes of each structure."""
    with TemporaryDirectory() as name:
        source, target = Path(name) / "sizes.c", Path(name) / "sizes.o"
        includes = "".join(f'#include "{each}"\n' for each in sorted(set(STRUCTURES.values())))
        sizes = "".join(f"const char of_{each}[sizeof({each})];\n" for each in STRUCTURES)
        source.write_text(includes + sizes)
        run_compiler(COMPILER, *CORTEX_M3, f"-I{SOURCES}", "-c", "-o", target, source)
        listed = _run("arm-none-eabi-nm", "-S", "--radix=d", str(target))
    found = re.findall(r"^\d+ (\d+) \w of_(\w+)$", listed, re.MULTILINE)
    return {name: int(size) for size, name in found}


def static_memory() -> int:
    """The bytes of RAM that the library takes by itself, whether or not it is used."""
    return sum(_bytes_of(source, "data", "bss") for source in library())


def _stem(file: str) -> str:
    return "jrpc" if file == "jrpc" else f"jrpc_{file}"


def _bytes_of(source: Path, *columns: str) -> int:
    listed = _run("arm-none-eabi-size", str(object_of(source)))
    titles, sizes = (line.split() for line in listed.splitlines())
    return sum(int(sizes[titles.index(column)]) for column in columns)


def _run(*command: str) -> str:
    done = subprocess.run(
        [require_command(command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return done.stdout


def table() -> str:
    """Both, as they stand in the documentation."""
    lines = ["| part | code, bytes |", "|---|---|"]
    lines += [f"| {part} | {size:,} |" for part, size in code().items()]
    lines += ["", "| in RAM | bytes |", "|---|---|"]
    lines += [f"| `{name}` | {size:,} |" for name, size in memory().items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201  # what it is for
