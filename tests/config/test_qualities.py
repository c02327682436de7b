"""The named qualities: complete, ever finer, and the same in the schema, on the command line and in the configs."""

from smgicnet.commands.options import QUALITIES
from smgicnet.config.building import build
from smgicnet.config.completion import load
from smgicnet.config.qualities import DEFAULT_QUALITY, qualities
from smgicnet.registration.refinement import Refinement
from tests.support import ROOT


def test_every_quality_is_a_complete_refinement_and_the_command_line_has_its_name():
    assert tuple(qualities()) == QUALITIES
    assert DEFAULT_QUALITY in QUALITIES
    built = {name: build(Refinement, block) for name, block in qualities().items()}
    assert built["fast"].iterations == len(built["fast"].detail) == 0
    assert built["default"].detail[-1].images >= 1
    finest = [min((stage.images for stage in one.detail), default=4) for one in built.values()]
    assert finest == sorted(finest, reverse=True)


def test_the_config_at_1_mm_refines_as_register_does():
    methods = load(ROOT / "config" / "anatomies-1mm.yaml")["methods"]
    for name, quality in (("refined", "default"), ("best", "best")):
        assert methods[f"smgicnet-plus-{name}"]["refinement"] == qualities()[quality]
