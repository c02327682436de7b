"""The named qualities: complete, ever finer, and the same in the schema, on the command line and in the configs."""

from smgicnet.commands.options import QUALITIES
from smgicnet.config.building import build
from smgicnet.config.qualities import DEFAULT_QUALITY, qualities
from smgicnet.registration.refinement import Refinement


def test_every_quality_is_a_complete_refinement_and_the_command_line_has_its_name():
    assert tuple(qualities()) == QUALITIES
    assert DEFAULT_QUALITY in QUALITIES
    built = {name: build(Refinement, block) for name, block in qualities().items()}
    assert built["fast"].iterations == len(built["fast"].detail) == 0
    assert [stage.images for stage in built["default"].detail][-1] >= 1
    finest = [min((stage.images for stage in one.detail), default=4) for one in built.values()]
    assert finest == sorted(finest, reverse=True)
