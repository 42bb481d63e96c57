"""The page about Wi-Fi: its rule for polkit does what it says."""

import re
import subprocess

import msgspec
import pytest

from tests._system import require_command
from tests.places import ROOT

HARNESS = """
var rules = [];
var polkit = {addRule: function (rule) { rules.push(rule); }, Result: {YES: "yes"}};
%s
var asked = %s;
console.log(JSON.stringify(asked.map(function (each) {
  return rules[0]({id: each[0]}, {user: each[1], isInGroup: function () { return false; }}) || null;
})));
"""
NM = "org.freedesktop.NetworkManager"


def test_the_rule_for_polkit() -> None:
    page = (ROOT / "docs" / "wifi.md").read_text(encoding="utf-8")
    (rule,) = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    needed = ["network-control", "settings.modify.system", "wifi.scan"]
    asked = [[f"{NM}.{name}", user] for user in ("lamp", "eve") for name in needed]
    asked.append([f"{NM}.reload", "lamp"])
    program = HARNESS % (rule, msgspec.json.encode(asked).decode())
    done = subprocess.run(
        [require_command("node"), "-e", program], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout) == ["yes"] * 3 + [None] * 4


@pytest.mark.parametrize("newer", ["=>", "let ", "const ", ".includes(", "`"])
def test_the_rule_is_for_polkits_older_engine_too(newer: str) -> None:
    page = (ROOT / "docs" / "wifi.md").read_text(encoding="utf-8")
    assert newer not in page.split("```javascript")[1].split("```")[0]
