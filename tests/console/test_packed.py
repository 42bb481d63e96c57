"""What browsers get is made of what people wrote, is small, and speaks both languages."""

import re
from hashlib import sha256
from pathlib import Path

import jsonrpc_iot
from jsonrpc_iot.asgi.console.assets import assets

CONSOLE = Path(jsonrpc_iot.__file__).parent / "asgi" / "console"
PAGE, PACKED = CONSOLE / "page", CONSOLE / "packed"
MOST_BYTES = 60_000
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def modules() -> list[Path]:
    return [path for path in sorted(PAGE.rglob("*.js")) if path.parent.name != "vendor"]


def test_the_page_is_made_of_its_sources() -> None:
    digest = sha256()
    for path in sorted((path for path in PAGE.rglob("*") if path.is_file()), key=str):
        digest.update(path.relative_to(PAGE).as_posix().encode() + b"\0" + path.read_bytes())

    assert (PACKED / "MADE_FROM").read_text().strip() == digest.hexdigest(), (
        "run tools/vendor-console, and commit what it makes"
    )


def test_the_page_is_small() -> None:
    sizes = {name: len(each.packed or each.body) for name, each in assets().items()}

    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert {"index.html", "app.js", "console.css", "vendor/plot.js"} <= sizes.keys()


def test_what_is_from_others_is_named_with_its_terms() -> None:
    told = (PAGE / "vendor" / "VENDORED").read_text(encoding="utf-8")

    for line in ("preact 11.", "htm 3.", "@preact/signals 2.", "uplot 1."):
        assert f"\n{line}" in told
    assert told.count("Permission is hereby granted") == 4
    assert "Apache License" in told


def test_texts_are_there_in_both_languages() -> None:
    english = sorted(PAGE.rglob("words-en.js"))
    assert english
    for path in english:
        ours, theirs = words_in(path), words_in(path.with_name("words-zh.js"))
        assert ours.keys() == theirs.keys()
        for key, text in ours.items():
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", theirs[key]))


def test_texts_that_are_used_are_there() -> None:
    known = {key for path in PAGE.rglob("words-en.js") for key in words_in(path)}
    for path in modules():
        used = set(re.findall(r"\bt\(\"([\w.-]+)\"", path.read_text(encoding="utf-8")))
        assert used <= known, path


def words_in(path: Path) -> dict[str, str]:
    code = path.read_text(encoding="utf-8")
    return dict(re.findall(r'^  "?([\w.-]+)"?: "(.*)",$', code, re.MULTILINE))


def test_no_module_and_no_function_is_long() -> None:
    for path in modules():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= LONGEST_FILE, path
        start = 0
        for number, line in enumerate(lines):
            if re.match(r"(export )?(default )?(async )?function|  (async )?#?\w+\(.*\{$", line):
                start = number
            if line in ("}", "  }"):
                assert number - start <= LONGEST_FUNCTION, f"{path}:{start + 1}"


def test_nothing_is_read_as_html() -> None:
    """What a device says is text; the page has no place where it could be anything else."""
    for path in modules():
        code = path.read_text(encoding="utf-8")
        found = re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(", code)
        assert not found, path
