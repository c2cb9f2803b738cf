"""The house's rules: imports point down, in no circle; files are short and say what they are for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = {"rollouts": 0, "worldmodels": 1, "agents": 2, "scripts": 3, "worldmodels_command": 3}
LONGEST = 320  #: lines


@cache
def modules() -> dict[str, Path]:
    files = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
    return {_name(path): path for path in [*files, ROOT / "worldmodels_command.py"]}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, everywhere: bool) -> Iterator[str]:
    """The project's modules that a module imports: when it is imported, or ``everywhere`` in it."""
    tree = ast.parse(modules()[name].read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [one if one in modules() else node.module for one in found]
        else:
            continue
        yield from (one for one in found if one.split(".")[0] in FLOORS)


def floor(name: str) -> int:
    return FLOORS[name.split(".")[0]]


def test_imports_point_down():
    """``scripts`` -> ``agents`` -> ``worldmodels`` -> ``rollouts``, inside functions too."""
    arrows = [(name, other) for name in modules() for other in imports(name, everywhere=True)]
    assert len(arrows) > 500
    assert [(name, other) for name, other in arrows if floor(other) > floor(name)] == []


def test_there_are_no_circles():
    arrows = {name: {other for other in imports(name, everywhere=False) if other in modules()} for name in modules()}
    while leaves := [name for name, others in arrows.items() if not others]:
        arrows = {name: others - set(leaves) for name, others in arrows.items() if name not in leaves}
    assert arrows == {}


def test_files_are_short():
    lines = {name: path.read_text().count("\n") for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_every_file_says_what_it_is_for():
    about = {name: ast.get_docstring(ast.parse(path.read_text())) or "" for name, path in modules().items()}
    assert [name for name, text in about.items() if not text.partition("\n\n")[0].endswith((".", "?", ":"))] == []


#: Statements, and modules that they must not bring. One interpreter does them all in this order, as it starts slowly.
LIGHT = (
    ("import agents, rollouts", ("torch", "gymnasium", "tqdm")),
    ("from agents.cli.main import main; main(['train-vae', '--help'])", ("torch", "gymnasium", "tyro")),
    ("import worldmodels", ("torch", "pygame", "Box2D", "cv2", "gymnasium.envs.box2d", "tensorboard")),
    ("import worldmodels.generative", ("pygame", "Box2D", "gymnasium.envs.box2d", "tensorboard")),
    ("from worldmodels.generative import MODELS", ("pygame", "Box2D", "gymnasium.envs.box2d", "tensorboard")),
    ("from worldmodels import ConvVAE, MDNRNN", ("pygame", "Box2D", "gymnasium.envs.box2d", "tensorboard")),
)


def test_what_is_imported_brings_only_what_it_needs():
    lines = [f"{line}\nassert not (found := {set(heavy)} & set(sys.modules)), found" for line, heavy in LIGHT]
    code = "\n".join(("import sys", *lines, "print('all')"))
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("\nall\n")


def test_the_dream_is_known_to_gymnasium_once_the_package_is_imported():
    code = (
        "import gymnasium, worldmodels\n"
        "env = gymnasium.make('worldmodels/Dream-v0', run='pretrained/carracing', temperature=1.15)\n"
        "assert env.reset(seed=0)[0].ndim == 1\n"
        "assert gymnasium.make('worldmodels/Toy-v0').reset(seed=0)[0].shape == (64, 64, 3)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
