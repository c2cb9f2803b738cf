"""What MkDocs makes of this repository: the pages of docs/, and others that are made from what lies elsewhere.

The README becomes the first page, cards of agents, examples, help screens and every module's docstrings have pages of
their own. Links that leave docs/ lead to those pages, or become plain text where there is none.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PACKAGES = ("worldmodels", "agents", "rollouts")
COPIES = {"index.md": "README.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):<code>~?")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the parts of the navigation whose pages are made here."""
    for entry in config.nav or []:
        if "Agents" in entry:
            entry["Agents"] = [page for page, _ in _cards()]
        if "Reference" in entry:
            entry["Reference"] = [page for page, _ in _references()]
    return config


@event_priority(100)  # before the plugin that looks for notebooks among the files
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files."""
    copies = ((page, (ROOT / source).read_text("utf-8")) for page, source in COPIES.items())
    pages = (("commands.md", _commands()), ("examples.md", _examples()))
    for page, text in (*copies, *pages, *_cards(), *_references()):
        files.append(File.generated(config, page, content=text))
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        files.append(File(f"examples/{notebook.name}", str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where their page is in the site."""
    source = posixpath.dirname(_source(page.file.src_uri))

    def moved(match: re.Match[str]) -> str:
        picture, text, link = match.groups()
        path, hash_, anchor = link.partition("#")
        if not path or ":" in path:
            return match[0]
        target = _page_of(posixpath.normpath(posixpath.join(source, path)))
        if files.get_file_from_path(target) is None:
            return text
        relative = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
        return f"{picture}[{text}]({relative}{hash_}{anchor})"

    parts = _CODE.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(moved, part) for number, part in enumerate(parts))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Docstrings' roles, which Markdown does not know, are left out."""
    return _ROLE.sub("<code>", html)


def _source(page: str) -> str:
    """Where in the repository a page of the site comes from."""
    if page in COPIES:
        return COPIES[page]
    if page.startswith("released/"):
        return f"agents/pretrained/{Path(page).stem}/README.md"
    return "examples.md" if page == "examples.md" else f"docs/{page}"


def _page_of(path: str) -> str:
    """Which page, or other file of the site, a file of the repository has become."""
    for page, source in COPIES.items():
        if path == source:
            return page
    if match := re.fullmatch(r"agents/pretrained/(\w+)(/README\.md)?", path):
        return f"released/{match[1]}.md"
    if path == "agents/pretrained":
        return next(_cards())[0]
    if path.startswith("examples") and not path.endswith(".ipynb"):
        return "examples.md"
    return path.removeprefix("docs/")


def _cards() -> Iterator[tuple[str, str]]:
    for card in sorted((ROOT / "agents" / "pretrained").glob("*/README.md")):
        yield f"released/{card.parent.name}.md", card.read_text("utf-8")


def _commands() -> str:
    screens = sorted((ROOT / "agents" / "cli" / "help").glob("*.txt"))
    parts = [f"## worldmodels {file.stem}\n\n```text\n{file.read_text('utf-8').rstrip()}\n```" for file in screens]
    intro = "What `--help` says; `--help-all` lists every option. In a clone, `python scripts/NAME.py` is the same."
    return "\n\n".join(("# Commands", intro, *parts)) + "\n"


def _examples() -> str:
    notebooks = [f"* [{_title(file)}](examples/{file.name})" for file in sorted((ROOT / "examples").glob("*.ipynb"))]
    scripts = [
        f"## {file.name}\n\n```python\n{file.read_text('utf-8').rstrip()}\n```"
        for file in sorted((ROOT / "examples").glob("*.py"))
    ]
    return "\n".join(("# Notebooks and examples\n", *notebooks, "", "\n\n".join(scripts), ""))


def _title(notebook: Path) -> str:
    return notebook.stem.replace("_", " ").capitalize()


def _references() -> Iterator[tuple[str, str]]:
    """A page for every folder of modules, with the docstrings of what is public."""
    for package in PACKAGES:
        folders = {file.parent for file in (ROOT / package).rglob("*.py")}
        for folder in sorted(folders):
            modules = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
            if not modules or folder.name in ("cli", "help"):
                continue
            name = ".".join(folder.relative_to(ROOT).parts)
            first = (ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or "").split("\n\n")[0]
            parts = "\n\n".join(f"::: {name}.{module.stem}" for module in modules)
            yield f"reference/{name}.md", f"# {name}\n\n{first}\n\n{parts}\n"
