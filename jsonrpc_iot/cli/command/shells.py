"""Completion in the shells: the script that each of them runs, and the answers to it.

A script calls the program with the variable `_PROGRAM_COMPLETE` set to the shell's name. From zsh
and fish the words come as arguments, the last of them begun; from bash and PowerShell the line
comes in `COMP_LINE` and `COMP_POINT`, as their own words are cut in other places. The answer is a
line for each offer, with its help after a tab where the shell shows that.
"""

import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .declare import Offer

_BASH = r"""
%(function)s() {
    local IFS=$'\n'
    COMPREPLY=( $(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" \
        %(variable)s=bash "$1" 2>/dev/null) )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}
complete -o default -F %(function)s %(program)s
"""

_ZSH = r"""
#compdef %(program)s
%(function)s() {
    local line
    local -a words_ shown open open_shown
    for line in "${(@f)$(%(variable)s=zsh %(program)s "${(@Q)words[2,$CURRENT]}" 2>/dev/null)}"; do
        [[ -z $line ]] && continue
        if [[ ${line%%%%$'\t'*} == *[=/] ]]; then
            open+=("${line%%%%$'\t'*}") open_shown+=("${line/$'\t'/  -- }")
        else
            words_+=("${line%%%%$'\t'*}") shown+=("${line/$'\t'/  -- }")
        fi
    done
    if (( $#words_ + $#open == 0 )); then
        _files
        return
    fi
    (( $#words_ )) && compadd -l -d shown -a words_
    (( $#open )) && compadd -l -S '' -d open_shown -a open
    return 0
}
compdef %(function)s %(program)s
"""

_FISH = r"""
function %(function)s
    set -l words (commandline -opc) (commandline -ct)
    %(variable)s=fish %(program)s $words[2..-1] 2>/dev/null
end
complete --command %(program)s --no-files --condition 'count (%(function)s) >/dev/null' \
    --arguments '(%(function)s)'
"""

_POWERSHELL = r"""
Register-ArgumentCompleter -Native -CommandName %(program)s -ScriptBlock {
    param($begun, $line, $position)
    $Env:%(variable)s = "powershell"
    $Env:COMP_LINE = $line.ToString() + $(if ($begun) { "" } else { " " })
    $Env:COMP_POINT = $Env:COMP_LINE.Length
    %(program)s 2>$null | ForEach-Object {
        $word, $help = $_ -split "`t", 2
        if (-not $help) { $help = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $help)
    }
    $Env:%(variable)s = $Env:COMP_LINE = $Env:COMP_POINT = $null
}
"""

_SCRIPTS = {
    "bash": _BASH,
    "zsh": _ZSH,
    "fish": _FISH,
    "powershell": _POWERSHELL,
    "pwsh": _POWERSHELL,
}
# Where bash cuts a word into several, of which it replaces the last.
_BASH_BREAKS = ":="
_PARENTS = 5


def script(program: str, shell: str) -> str:
    """What makes a shell ask the program.

    Raises:
        KeyError: there is none for that shell.
    """
    names = {
        "program": program,
        "variable": f"_{program.replace('-', '_').upper()}_COMPLETE",
        "function": f"_{program.replace('-', '_')}_completion",
    }
    return (_SCRIPTS[shell] % names).strip()


def question(
    shell: str, words: Sequence[str], environment: Mapping[str, str]
) -> tuple[Sequence[str], str]:
    """What a shell asks: the words before the one that has been begun, and its beginning.

    Raises:
        LookupError: there is no such shell, or it does not ask as its script does.
    """
    if shell in {"zsh", "fish"}:
        return words[:-1], words[-1]
    if shell not in _SCRIPTS:
        raise KeyError(shell)
    line = environment["COMP_LINE"][: int(environment["COMP_POINT"])]
    try:
        _, *before = shlex.split(line)
    except ValueError:  # a quotation mark that is not closed yet
        _, *before = line.split()
    if line[-1].isspace():
        return before, ""
    return before[:-1], before[-1]


def answer(shell: str, beginning: str, offers: Iterable[Offer]) -> str:
    """Offers, as the script of a shell reads them."""
    if shell == "bash":
        kept = max(beginning.rfind(each) for each in _BASH_BREAKS) + 1
        lines = [offer.word[kept:] for offer in offers]
    else:
        lines = ["\t".join(filter(None, offer)) for offer in offers]
    return "".join(f"{line}\n" for line in lines)


def running_shell(environment: Mapping[str, str]) -> str:
    """The shell that has started this process, or that of the user; `""` for none that we know."""
    process = os.getppid()
    for _ in range(_PARENTS):
        try:
            shown = subprocess.run(
                ["ps", "-o", "ppid=,comm=", "-p", str(process)],
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            break
        parent, _, name = shown.stdout.strip().partition(" ")
        if (name := _plain(name)) in _SCRIPTS:
            return name
        process = int(parent)
    name = "powershell" if os.name == "nt" else _plain(environment.get("SHELL", ""))
    return name if name in _SCRIPTS else ""


def _plain(path: str) -> str:
    return path.strip().removeprefix("-").rpartition("/")[2]


def install(program: str, shell: str) -> Path:
    """Have a shell load the script whenever it starts.

    Returns:
        Where the script is.

    Raises:
        OSError: its files cannot be written.
    """
    home = Path.home()
    text = f"{script(program, shell)}\n"
    if shell == "bash":
        place = home / ".bash_completions" / f"{program}.sh"
        _add_line(home / ".bashrc", f"source '{place}'")
    elif shell == "zsh":
        place = home / ".zfunc" / f"_{program}"
        _add_line(home / ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit")
    elif shell == "fish":
        place = home / ".config" / "fish" / "completions" / f"{program}.fish"
    else:
        command = [shell, "-NoProfile", "-Command", "echo $profile"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        profile = Path(shown.stdout.strip())
        place = profile.parent / f"{program}-completion.ps1"
        _add_line(profile, f". '{place}'")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return place


def _add_line(file: Path, line: str) -> None:
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if line not in text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text.rstrip()}\n{line}\n".lstrip(), encoding="utf-8")
