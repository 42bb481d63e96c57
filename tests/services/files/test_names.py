"""Which names files may have."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonrpc_iot.services.files import NotAllowed
from jsonrpc_iot.services.files.names import place_of, problem

PLAIN = [
    "a",
    "log.txt",
    "pictures/logo.png",
    "a b",
    "größe.txt",
    "日本",
    "x" * 200,
    "nullable",
    "c-1",
]

HOSTILE = [
    "",
    ".",
    "..",
    "../a",
    "a/../../b",
    "a/..",
    "/etc/passwd",
    "//host/share",
    "a//b",
    "a/",
    "a/./b",
    ".bashrc",
    ".jsonrpc-iot/0.part",
    "a/.hidden",
    "a\\b",
    "..\\a",
    "C:a",
    "C:\\a",
    "a:stream",
    "\\\\?\\C:\\a",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7f",
    "a\u202eb",
    "a\u2028b",
    "\ud800",
    "CON",
    "con.txt",
    "a/NUL",
    "aux .txt",
    "COM1",
    "lpt9.log",
    "COM¹",
    "a.",
    "a ",
    " a",
    "a?",
    "a*",
    'a"',
    "a|b",
    "<a>",
    "x" * 201,
    "/".join(["x" * 100] * 6),
]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names_are_fine(tmp_path: Path, name: str) -> None:
    assert problem(name) is None
    assert place_of(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", HOSTILE)
def test_others_are_not_allowed(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        place_of(tmp_path, name)
    assert refused.value.data["path"] == "$.name"


@given(st.text() | st.text("./\\:ab\0~ "))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    root = Path("/srv/files")
    if problem(name) is None:
        assert Path(os.path.normpath(root / name)) == root / name
        assert (root / name).is_relative_to(root)


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("s")
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "nowhere").symlink_to(outside / "new")
    (root / "circle").symlink_to(root / "circle")
    (root / "here").symlink_to(root / "there")
    for name in ("folder/secret", "folder/new", "file", "nowhere", "circle", "circle/a"):
        with pytest.raises(NotAllowed):
            place_of(root, name)
    assert place_of(root, "here") == root / "here"
