"""The house: what stands in the root of the package, and how large files and functions may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jsonrpc_iot
from tests import places

from .test_imports import PACKAGE, PARTS, ROOT, run_python

FILES = {"__init__.py", "__main__.py", "errors.py"}
FOLDERS = PARTS.keys() - {name.removesuffix(".py") for name in FILES}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
"""Lines, without the docstring."""


def test_the_root_holds_folders_and_three_files() -> None:
    files = {path.name for path in ROOT.glob("*.py")}
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert files == FILES, "a module belongs into one of the folders"
    assert folders == FOLDERS
    assert len(folders) <= 17


def test_no_file_is_long() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}

    assert {path: count for path, count in lines.items() if count > LONGEST_FILE} == {}


def test_no_function_is_long() -> None:
    found = [
        f"{path}:{function.lineno}: {function.name} has {count} lines"
        for path in ROOT.rglob("*.py")
        for function in functions(path)
        if (count := length(function)) > LONGEST_FUNCTION
    ]

    assert not found, "\n" + "\n".join(found)


def test_the_package_shows_its_public_names_and_folders() -> None:
    shown = set(run_python(f"import {PACKAGE}; print(*dir({PACKAGE}))").split())

    assert {name for name in shown if not name.startswith("_")} <= {
        *jsonrpc_iot.__all__,
        *FOLDERS,
        "errors",
    }


def test_one_file_of_the_tests_knows_where_the_repository_is() -> None:
    tests = places.ROOT / "tests"
    climbing = [
        path
        for path in tests.rglob("*.py")
        if path != Path(__file__)
        and re.search(r"__file__\)\.parent(s\[|\.parent)", path.read_text())
    ]

    assert climbing == [tests / "places.py"]


def test_nothing_leads_to_a_registry_of_packages() -> None:
    folders = ("docs", "examples", "firmware", "jsonrpc_iot", "tests", "tools", "benchmarks")
    hosts = re.compile(r"(pypi|pythonhosted)\.org|npmjs\.(com|org)")
    found = [
        path
        for folder in folders
        for path in (places.ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md", ".c", ".h", ".json", ".toml"}
        and hosts.search(path.read_text())
    ]

    assert found == [], "they can be elsewhere: say the name, or lead to the project's own place"


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_bytes(), path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines
