"""The README is short, its commands exist, and it cites as CITATION.cff does."""

import re

import pytest
import yaml

import smgicnet
from smgicnet.commands.options import make_parser
from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", block).splitlines()
]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command):
    program, *words = command.split()
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "snakemake":
        assert (ROOT / words[words.index("--configfile") + 1]).is_file()
        rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
        assert f"\nrule {words[2]}:" in rules
    elif program == "smgicnet":
        assert make_parser().parse_args(words).command == words[0]
    else:
        assert command == "pip install ."


def test_the_commands_are_found():
    assert {"make demo", "make test", "pip install ."} <= set(COMMANDS)
    assert any(command.startswith("smgicnet register --fixed") for command in COMMANDS)


def test_the_readme_cites_the_paper_as_the_citation_file_does():
    (paper,) = CITATION["references"]
    text = " ".join(README.split())
    names = [author["family-names"] for author in paper["authors"]]
    assert f"{', '.join(names[:-1])} and {names[-1]}, *{paper['title']}*" in text
    assert f"<{paper['repository-code']}>" in text
    assert "(CITATION.cff)" in text


def test_the_citation_is_of_this_version():
    assert CITATION["version"] == smgicnet.__version__
