"""The recipes of docs/adding-a-*.md, followed as they are printed.

A block with a title is a file to write; a block of the language diff adds its lines with a plus beside those without.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PAGES = ("adding-a-method.md", "adding-a-metric.md", "adding-a-source.md", "adding-a-figure.md")
COPIED = ("Snakefile", "config", "docs", "envs", "profiles", "pyproject.toml", "rules", "smgicnet", "tests", "workflow")
FETCHING = "mine.yaml"  # its programs come from the package index
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


def copy_checkout(folder):
    """Copy what a recipe adds to."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)


def run(command, checkout):
    """Run commands as the page has them, with this Python and the package of the checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    known = {**os.environ, "PATH": path, "PYTHONPATH": str(checkout)}
    script = f"set -euo pipefail\n{command}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=checkout, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
