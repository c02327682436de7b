"""The ready blocks: of programs that cannot be had here, each with a stand-in of its command line and files."""

import re

import pytest
import torch

from smgicnet.config.completion import complete_method
from smgicnet.config.programs import PROGRAMS
from smgicnet.jobs.decisions import missing_programs
from smgicnet.methods.command import Command
from tests.support.commands import SHAPE, SPACING, images
from tests.support.stand_ins import LEFT, install_stand_ins

ELSEWHERE = ["synthmorph", "synthmorph-affine", "easyreg", "unigradicon", "niftyreg", "brainmorph"]


PACKAGES = {  # ready blocks from the package index, and the distribution that registers
    "greedy": "picsl-greedy",
    "fireants": "fireants",
    "convexadam": "convexadam",
    "elastix": "itk-elastix",
    "antspyx": "antspyx",
    "antspyx-quick": "antspyx",
    "antspyx-default": "antspyx",
}


def block(program):
    return complete_method({"type": "command", "program": program}, "test")


@pytest.mark.parametrize("program", ELSEWHERE)
def test_the_command_line_and_the_files_are_those_of_the_program(program, tmp_path, monkeypatch):
    for name, value in install_stand_ins(tmp_path).items():
        monkeypatch.setenv(name, value)
    part = block(program)
    assert missing_programs(part) == []
    method = Command.from_block(part)
    method.on_spacing(SPACING)
    found = method.register(*images())
    expected = torch.tensor([LEFT / SPACING, 0, 0]).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    torch.testing.assert_close(found.forward, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("program", ELSEWHERE)
def test_without_the_program_its_method_is_left_out(program, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BRAINMORPH", raising=False)
    part = block(program)
    assert missing_programs(part) == part["requires"]
    assert part["install"]


@pytest.mark.parametrize("program", sorted(path.stem for path in PROGRAMS.glob("*.yaml")))
def test_a_program_of_the_package_index_has_one_version(program):
    """Another version may give other fields, under the same digest of the block."""
    lines = " ".join(block(program).get("environment", {}).get("pip", []))
    assert bool(lines) == (program in PACKAGES)
    if lines:
        assert re.search(rf"\b{PACKAGES[program]}==[\d.]+(\s|$)", lines)


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_block_says_where_its_settings_are_documented(path):
    assert re.match(r"#.*\n?.*https?://", path.read_text())
