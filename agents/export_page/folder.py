"""The folder itself: a page of ``site/``, the files that it asks for, and ``model.js``, which is the agent's own."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rollouts.errors import UserError
from rollouts.runs.files import replace_folder

SITE = Path(__file__).parent / "site"
MODEL = "model.js"
MARK = "const MODEL = "


def write_page(description: dict[str, Any], out: Path) -> int:
    """Write a folder that any browser opens, from a disk or from a plain file server; an older one is replaced.

    Args:
        description: what :func:`agents.export_page.describe_agent` or ``describe_images`` gives.

    Returns:
        bytes of all files together.

    Raises:
        UserError: there is something else at ``out``.
    """
    if out.exists() and not _is_page(out):
        raise UserError(f"{out} is there and is no exported page; choose a folder that is new or empty.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".tmp", f".{out.name}.", out.parent) as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        page = (SITE / f"{description['kind']}.html").read_text()
        page = page.replace("{{title}}", html.escape(description["title"]))
        (folder / "index.html").write_text(page)
        for name in re.findall(r'(?:src|href)="([^"]+)"', page):
            if name != MODEL:
                shutil.copyfile(SITE / name, folder / name)
        kernel = base64.b64encode((SITE / "matmul.wasm").read_bytes()).decode()
        model = json.dumps({**description, "kernel": kernel}, separators=(",", ":"), allow_nan=False)
        (folder / MODEL).write_text(f"{MARK}{model};\n")
        total = sum(file.stat().st_size for file in folder.iterdir())
        replace_folder(folder, out)
    return total


def _is_page(folder: Path) -> bool:
    """Whether nothing is lost when a folder is replaced: it is empty, or was written by :func:`write_page`."""
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    model = folder / MODEL
    if not model.is_file():
        return False
    with model.open() as file:
        return file.read(len(MARK)) == MARK
