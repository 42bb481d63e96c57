"""The headers of the peer in C stand alone, in C++ too; and its README names all of its files."""

import re
import subprocess
from pathlib import Path

import pytest

from tests._system import require_command
from tests.waiting import SECONDS

from .compiling import SOURCES, STRICT
from .sizes import code

pytestmark = pytest.mark.firmware

README = (SOURCES / "README.md").read_text(encoding="utf-8")
PUBLIC = sorted(set(SOURCES.glob("jrpc*.h")) - {SOURCES / "jrpc_parts.h"})
STRICT_CPP = ("-x", "c++", "-std=c++11", *(flag for flag in STRICT if flag != "-std=c99"))


@pytest.mark.parametrize(("compiler", "flags"), [("cc", STRICT), ("c++", STRICT_CPP)])
def test_each_header_stands_alone(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    for header in PUBLIC:
        source = tmp_path / "source.c"
        source.write_text(f'#include "{header.name}"\n#include "{header.name}"\n')
        command = [require_command(compiler), *flags, f"-I{SOURCES}", "-fsyntax-only"]
        subprocess.run([*command, str(source)], check=True, timeout=SECONDS)


def test_the_readme_tells_the_sizes() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([\d,]+) \|", README, re.MULTILINE)
    shown = {name: int(size.replace(",", "")) for name, size in rows}
    true = code()
    assert shown.keys() == true.keys()
    assert {name: true[name] for name in true if true[name] > shown[name] * 1.05} == {}


def test_the_readme_names_all_files() -> None:
    text = README.replace(".[ch]`", ".c` `.h`")
    for source in SOURCES.glob("jrpc*.[ch]"):
        is_named = f"`{source.name}`" in text or f"`{source.stem}.c`" in text
        assert is_named, source.name
