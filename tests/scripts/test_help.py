"""``--help`` is true and fits on a screen; completion, version, and other people's packages of the same names."""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import worldmodels_command
from agents.cli.completion import bash, fish, flags
from agents.cli.help import FULL, WIDTH, options_of, screen, stored
from agents.cli.main import COMMANDS, command, main, overview
from agents.cli.options import Command
from rollouts import console
from worldmodels.generative import MODELS


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without runs, whose options would be defaults."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_what_the_code_says_and_fits_on_a_screen(name: str):
    """If this fails, options were changed: write the texts anew with ``python -m agents.cli.help``."""
    text = screen(name, command(name))
    assert stored(name) == text
    assert text.count("\n") < FULL
    assert [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith("  worldmodels ")] == []
    assert len(command(name).main) <= 21


def test_examples_are_shown_as_the_reader_calls_them(monkeypatch: pytest.MonkeyPatch):
    assert "\n  worldmodels train-vae --run runs/car\n" in stored("train-vae")
    monkeypatch.setattr(console, "COMMANDS_ARE_SCRIPTS", True)
    assert "\n  python scripts/train_vae.py --run runs/car\n" in stored("train-vae")


def test_one_thing_has_one_name():
    """A run that is written to, an agent that is used, a world, episodes: the same option in all commands."""
    flags = {name: {option.flag for option in options_of(command(name))} for name in COMMANDS}
    uses_an_agent = {"collect", "evaluate", "watch", "play", "release", "export-page"}
    assert uses_an_agent <= {name for name, found in flags.items() if "--agent" in found}
    every = set().union(*flags.values())
    assert not {flag for flag in every if flag.split(".")[-1].lstrip("-") in ("env", "games", "checkpoint", "out-file")}


def test_every_option_has_help():
    bare = {(name, option.flag) for name in COMMANDS for option in options_of(command(name)) if not option.text}
    assert bare == set()


def test_completion_knows_commands_options_and_choices(tmp_path: Path):
    options = {name: options_of(command(name)) for name in ("train-vae", "watch")}
    script = tmp_path / "completion"
    script.write_text(bash(options))

    def complete(*words: str) -> list[str]:
        code = f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _worldmodels; echo "${{COMPREPLY[@]}}"'
        result = subprocess.run(["bash", "-c", code, "-", *words], capture_output=True, text=True, check=True)
        return result.stdout.split()

    assert complete("worldmodels", "tr") == ["train-vae"]
    assert complete("worldmodels", "train-vae", "--vae.lat") == ["--vae.latent-size"]
    assert complete("worldmodels", "train-vae", "--vae.no") == ["--vae.no-decay"]
    assert complete("worldmodels", "watch", "--watch.world", "") == ["real", "dream"]
    assert "complete -c worldmodels -n '__fish_seen_subcommand_from watch' -l live -d" in fish(options)


def test_without_a_command_all_are_named_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]):
    main([])
    assert capsys.readouterr().out.rstrip() == overview()
    assert all(f"  {name} " in overview() for name in COMMANDS)
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("Error: There is no command 'train'. Choose one of: quickstart")
    main(["--version"])
    assert capsys.readouterr().out.startswith("worldmodels 0.")


def test_other_peoples_packages_are_named_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert worldmodels_command.foreign() is None
    theirs = tmp_path / "site" / "agents"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").touch()
    code = (
        f"import sys; sys.path.insert(0, {str(theirs.parent)!r}); sys.path.append({str(worldmodels_command.ROOT)!r})\n"
        "import worldmodels_command; worldmodels_command.main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith(f"Error: The package agents at {theirs} belongs to ")
    assert result.stderr.count("\n") == 1


def test_the_installed_command_runs_from_anywhere(tmp_path: Path):
    command = Path(sysconfig.get_path("scripts")) / "worldmodels"
    if not command.exists():
        pytest.skip("the toolkit is not installed in this environment")
    result = subprocess.run([command, "--version"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert result.stdout.startswith("worldmodels 0."), result.stderr


def test_a_file_of_ours_that_another_distribution_has_replaced_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    site, digest = tmp_path / "site", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"  # SHA-256 of nothing
    record, file = site / "worldmodels_toolkit-1.dist-info" / "RECORD", site / "agents" / "__init__.py"
    for folder in (record.parent, file.parent):
        folder.mkdir(parents=True)
    record.with_name("METADATA").write_text("Name: worldmodels-toolkit\nVersion: 1\n")
    record.write_text(f"agents/__init__.py,sha256={digest},0\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    for text, replaced in (("", False), ("theirs", True)):
        file.write_text(text)
        assert worldmodels_command._replaced(file) is replaced


def test_the_distribution_has_one_name_everywhere():
    project = (worldmodels_command.ROOT / "pyproject.toml").read_text()
    assert f'\nname = "{worldmodels_command.DISTRIBUTION}"' in project
    assert worldmodels_command.DISTRIBUTION == console.DISTRIBUTION


def test_optional_parts_are_installed_from_the_clone_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert console.extra("ray") == "pip install -e '.[ray]'"
    monkeypatch.setattr(console, "CLONE", tmp_path)
    assert console.extra("ray") == "pip install 'worldmodels-toolkit[ray]'"


def commands_in(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command of a document's code blocks, with its options."""
    blocks = "\n".join(document.read_text().split("```")[1::2]).replace("\\\n", " ")
    for line in blocks.splitlines():
        if not line.lstrip().startswith(("worldmodels ", "python scripts/")):
            continue
        words = shlex.split(line, comments=True)
        name = words[1].removeprefix("scripts/").removesuffix(".py").replace("_", "-")
        if name in COMMANDS:
            yield name, [word.partition("=")[0] for word in words if word.startswith("--")]


def test_options_in_the_documents_exist():
    root = worldmodels_command.ROOT
    known = {name: {flag for option in options_of(command(name)) for flag in flags(option)} for name in COMMANDS}
    for config in MODELS.values():
        of_model = Command(None, type(config), print, main=())
        known["train-images"] |= {flag for option in options_of(of_model) for flag in flags(option)}
    for found in known.values():  # what play, watch and others take as well
        found |= {"--help", "--help-all", "--trust", *(["--run"] if "--agent" in found else [])}
    documents = [root / "README.md", *(root / "docs").rglob("*.md")]
    typed = [(document.name, *found) for document in documents for found in commands_in(document)]
    assert len(typed) > 20
    wrong = [(place, name, set(options) - known[name]) for place, name, options in typed]
    assert [entry for entry in wrong if entry[-1]] == []
