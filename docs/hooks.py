"""Hooks of mkdocs: pages made from the code, the notebook as a page, and links to files outside of ``docs/``."""

from __future__ import annotations

import json
import posixpath
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from markdown import Extension, Markdown
from markdown.treeprocessors import Treeprocessor
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from docs.generate import PAGES  # noqa: E402

BEFORE_MKDOCS = 10  # its own processor of links has the priority 0, and knows the files of docs/ alone


class _OutwardLinks(Treeprocessor):
    """Turns links to files of the repository into links to where the repository is published."""

    def __init__(self, markdown: Markdown, site: SiteLinks):
        super().__init__(markdown)
        self.site = site

    def run(self, root: Element) -> None:
        for element in root.iter("a"):
            link = self.site.led(element.get("href", ""))
            if link:
                element.set("href", link)
            else:
                element.tag, element.attrib = "span", {}


class SiteLinks(Extension):
    """Links as they are on the site; in the files they are relative, as a browser of the repository follows them.

    Attributes
    ----------
    repository : the address of the repository's files, empty where it is not published
    folder : of the page that is converted, from ``docs/``
    """

    def __init__(self, repository: str):
        super().__init__()
        self.repository, self.folder = repository, ""

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(_OutwardLinks(md, self), "outward-links", BEFORE_MKDOCS)

    def led(self, link: str) -> str:
        """Return where a link leads on the site, or nothing where the repository is not published.

        Raises ``FileNotFoundError`` if the repository lacks the file.
        """
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            return link
        if parts.path.endswith(".ipynb"):
            return link.replace(".ipynb", ".md", 1)
        target = posixpath.normpath(posixpath.join("docs", self.folder, parts.path))
        if target.startswith("docs/"):
            return link
        if target.startswith("..") or not (ROOT / target).exists():
            raise FileNotFoundError(f"docs/{self.folder}: a link leads to {link}, which is not there")
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        return self.repository and f"{self.repository}/{target}{anchor}"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the links of the site to what converts Markdown."""
    address = (config.repo_url or "").rstrip("/")
    config.extra["links"] = SiteLinks(f"{address}/blob/{config.extra['ref']}" if address else "")
    config.markdown_extensions.append(config.extra["links"])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    for notebook in DOCS.glob("**/*.ipynb"):
        name = notebook.relative_to(DOCS).with_suffix(".md").as_posix()
        files.append(File.generated(config, name, content=notebook_page(notebook)))
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """Return the source of a page that is made from the code as it is."""
    make = PAGES.get(page.file.src_uri)
    return make() if make else None


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Note which page is converted next."""
    config.extra["links"].folder = posixpath.dirname(page.file.src_uri)
    return markdown


def notebook_page(path: Path) -> str:
    """Return a notebook in Markdown, with a link to the notebook itself below the title."""
    cells = [_cell(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    title, *rest = cells[0].split("\n", 1)
    return "\n\n".join([title, f'<a href="../{path.name}" download>This page as a notebook</a>', *rest, *cells[1:]])


def _cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return text
    return "\n\n".join([f"```python\n{text}\n```", *filter(None, map(_output, cell["outputs"]))])


def _output(output: dict[str, Any]) -> str:
    """Return what a cell has left, a picture or text."""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="What the cell shows" src="data:image/png;base64,{picture}">'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```" if text else ""
