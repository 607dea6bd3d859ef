"""Hooks of mkdocs: README.md is the home page; links out of the site become plain text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add README.md, with its links as they are from within docs/."""
    home = (ROOT / "README.md").read_text(encoding="utf-8")
    home = re.sub(r"(?<!!)\[([^\]]+)\]\((?!docs/|#|\w+://)[^)]*\)", r"\1", home)
    home = home.replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=home))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Keep links within the site, which mkdocs checks, and to other sites."""
    folder = Path(page.file.src_uri).parent

    def kept(link: re.Match[str]) -> str:
        text, target = link.groups()
        path = target.partition("#")[0]
        if not path or "://" in path:
            return link[0]
        there = (Path(config.docs_dir) / folder / path).resolve()
        if there.is_dir():  # as git shows it: its README
            target = f"{target.rstrip('/')}/README.md"
            there /= "README.md"
        inside = there.is_relative_to(Path(config.docs_dir).resolve())
        return f"[{text}]({target})" if inside else text

    return _LINK.sub(kept, markdown)
