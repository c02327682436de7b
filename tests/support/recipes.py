"""The recipes of docs/adding-a-*.md, followed as they are printed.

A block with a title is a file to write; a block of the language diff adds its lines with a plus beside those without.
"""

import re
from pathlib import Path

from tests.support import ROOT

BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<content>.*?)^```$', re.M | re.S)


def blocks(page):
    """The blocks of code of a page, each with its language, title and content."""
    return [match.groupdict() for match in BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8"))]


def follow(page, checkout):
    """Write the files of a page into a checkout, and return the lines of each."""
    written = {}
    for block in blocks(page):
        if not block["title"]:
            continue
        path, lines = Path(checkout, block["title"]), block["content"].splitlines()
        if block["language"] == "diff":
            add(path, lines)
            lines = [line for line in lines if line.startswith("+")]
        else:
            assert not path.exists(), f"{path} is there already"
            path.write_text(block["content"], encoding="utf-8")
        written[block["title"]] = len(lines)
    return written


def add(path, lines):
    """Add the lines of a diff to a file, in which the others have to stand together, once."""
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path} has not once:\n{before}"
    path.write_text(text.replace(before, "".join(f"{line[1:]}\n" for line in lines)), encoding="utf-8")


def commands(page):
    """The blocks of shell commands of a page."""
    return [block["content"] for block in blocks(page) if block["language"] == "sh"]
