"""A part of the matrix of inputs: every kind of file, each through every command. The whole is a command of its own."""

import pytest

from tests.input_matrix import Bench
from tests.support.input_kinds import CONTAINERS, KINDS, ORIENTATIONS, SIZES, TYPES, cases

CHOSEN = [case for case in list(cases())[::17] if max(case.size) > 0.5 or case.kind.refused]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("matrix"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_every_command_answers_right(bench, case):
    assert {name: said for name, said in bench.answers(case).items() if said} == {}


def test_the_matrix_has_every_kind_orientation_size_container_and_type():
    everything = list(cases())
    assert len(everything) == len(KINDS) * len(ORIENTATIONS) * len(SIZES)
    assert {case.container for case in everything} == set(CONTAINERS)
    assert set(TYPES) <= {case.dtype for case in everything}
    assert {case.kind for case in CHOSEN} == set(KINDS)
    assert {case.orientation for case in CHOSEN} == set(ORIENTATIONS)
