"""The fuzz target in C; `make fuzz ARGS=-max_total_time=600` runs it, for a minute without ARGS.

What it learns goes into `firmware/c/fuzz/corpus.txt`, an input a line in hexadecimal, as few as
reach the same code. ARGS are options of libFuzzer.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .compiling import SOURCES, STRICT, compiled, library, run_compiler

FUZZ: Final = SOURCES / "fuzz"
CORPUS: Final = FUZZ / "corpus.txt"
OPTIONS: Final = ("-max_len=800", "-timeout=10", "-print_final_stats=0", "-verbosity=0")
_SANITIZED: Final = "-fsanitize=fuzzer,address,undefined"


def build(folder: Path) -> Path:
    """Build the target, whole, with libFuzzer and sanitizers."""
    program = folder / "fuzz"
    own = [*STRICT, "-g", "-O1", _SANITIZED, "-fno-sanitize-recover=all", f"-I{SOURCES}"]
    objects = [compiled("clang", own, each) for each in (*sorted(FUZZ.glob("*.c")), *library())]
    run_compiler("clang", _SANITIZED, "-o", program, *objects)
    return program


def unpack(folder: Path) -> Path:
    """Write what is known into a folder, a file each."""
    folder.mkdir()
    for line in CORPUS.read_text().split():
        data = bytes.fromhex(line)
        (folder / sha256(data).hexdigest()[:16]).write_bytes(data)
    return folder


def main(options: list[str]) -> int:
    """Fuzz, and keep what was learned; what breaks the target is left where this was called."""
    with TemporaryDirectory() as name:
        work = Path(name)
        program = build(work)
        known, fewest = unpack(work / "known"), work / "fewest"
        words = f"-dict={FUZZ / 'words.dict'}"
        done = subprocess.run(
            [program, *OPTIONS[:2], words, *(options or ["-max_total_time=60"]), known], check=False
        )
        fewest.mkdir()
        subprocess.run(
            [program, *OPTIONS, "-merge=1", "-use_counters=0", fewest, known], check=True
        )
        inputs = sorted(path.read_bytes() for path in fewest.iterdir())
    CORPUS.write_text("".join(f"{data.hex()}\n" for data in inputs))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
