"""Every relative link and anchor of the documentation leads somewhere; other sites are not asked."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support import ROOT
from tests.support.markdown import anchors, blocks, links

PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "config/**/*.md", "smgicnet/methods/**/*.md")
    for page in ROOT.glob(pattern)
)
CODE = ("smgicnet", "rules", "config", "workflow", "benchmarks", "tests", "profiles", "envs")
GLOSSARY = ROOT / "docs/glossary.md"


def read(page):
    """The text of a page; of a notebook, that between its cells of code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def broken(page):
    """What is wrong with the links of a page, a line each."""
    found = []
    for line, link in links(read(page)):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if parts.path.startswith("/") or not target.exists():
            found.append(f"{page}:{line}: {link}: there is no such file")
        elif parts.fragment and (target.suffix != ".md" or parts.fragment not in anchors(read(target))):
            found.append(f"{page}:{line}: {link}: there is no such heading")
    return found


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert broken(ROOT / page) == []


def test_the_pages_are_found():
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md", "docs/concepts/fields.md", "docs/register.ipynb"} <= set(
        PAGES
    )


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "there.md").write_text("# Ein `Titel`: so\n\n## Twice\n\n## Twice\n\n```sh\n# no heading\n```\n")
    right = (
        "[a](there.md) [b](there.md#ein-titel-so) [c](there.md#twice-1) [d](https://example.org/x) [e](#here)\n# Here\n"
    )
    wrong = "[f](nowhere.md)\n[g](there.md#twice-2) ![h](no.png)\n"
    more = '<img src="no.svg"> [i](#no-heading) [j](there.md#no-heading)\n'
    page = tmp_path / "page.md"
    page.write_text(f"{right}{wrong}{more}`[k](code.md)`\n\n```md\n[l](code.md)\n```\n")
    said = [problem.split(":", 1)[1] for problem in broken(page)]
    assert [one.split(": ")[0] for one in said] == ["3", "4", "4", "5", "5", "5"]
    assert [one.split(": ")[1] for one in said] == [
        "nowhere.md", "there.md#twice-2", "no.png", "no.svg", "#no-heading", "there.md#no-heading",
    ]  # fmt: skip


def test_blocks_of_code_and_their_marks_are_found():
    text = "```sh\none\n```\n\n<!-- tested -->\n```sh\ntwo\n```\n\n<!-- tested --> and text\n\n~~~~yaml\n```\n~~~~\n"
    found = [(one.language, one.text, one.line, one.is_tested) for one in blocks(text)]
    assert found == [("sh", "one\n", 1, False), ("sh", "two\n", 6, True), ("yaml", "```\n", 12, False)]


def test_pages_that_the_code_names_are_there():
    """In messages, docstrings and comments, by the path from the root of the repository."""
    missing = []
    for path in [ROOT / "Makefile", *(path for folder in CODE for path in Path(ROOT / folder).rglob("*"))]:
        if (
            path.is_file()
            and path.suffix in (".py", ".yaml", ".smk", ".md", ".sh", ".tsv", "")
            and "__pycache__" not in path.parts
        ):
            for name in re.findall(r"(?<![\w./-])docs/[\w/-]+\.(?:md|ipynb|png|svg)", path.read_text(encoding="utf-8")):
                if not (ROOT / name).exists():
                    missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert missing == []


def test_the_glossary_is_in_alphabetical_order():
    terms = re.findall(r"^## (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(terms) > 50
    assert terms == sorted(terms, key=lambda term: re.sub(r"[^a-z0-9]", "", term.lower()))
