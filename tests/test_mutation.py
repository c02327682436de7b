"""The mutation tests' own tests: what is changed, and that a change is noticed or not."""

import ast
import subprocess
import sys

import numpy as np
import pytest

from smgicnet.registration.fields import identity_grid
from smgicnet.scoring.jacobian import jacobian_metrics
from tests import mutation
from tests.support.mutants import KINDS, changed, mutants

SOURCE = '''
"""Words 1 - 2."""
SCALE = 2.0
HALF: int = 1 - 2


def between(low: float, high: float, at: float = -1) -> bool:
    """Words 3 < 4."""
    if not low < high:
        raise ValueError(f"{low - 1} is not below")
    return low <= at and at * SCALE / 2 > high


def composed(u: "np.ndarray", w) -> np.ndarray:
    u -= w @ u
    return fields.compose(u, w)
'''
CHANGES = {
    "sign": ["1 - 2", "-1", "at * SCALE / 2", "at * SCALE", "u -= w @ u", "return fields.compose(u, w)"],
    "bound": ["low < high", "low <= at", "at * SCALE / 2 > high"],
    "order": ["1 - 2", "w @ u", "fields.compose(u, w)"],
    "constant": ["SCALE = 2.0", "1 - 2", "1 - 2", "-1", "at * SCALE / 2"],
    "logic": ["not low < high", "return low <= at and at * SCALE / 2 > high", "low <= at and at * SCALE / 2 > high"],
}


@pytest.fixture(scope="module")
def found():
    return mutants("room/module", SOURCE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_of_a_kind_is_found_and_words_are_none(found, kind):
    assert sorted(mutant.before for mutant in found if mutant.kind == kind) == sorted(CHANGES[kind])


def test_each_mutant_is_the_source_but_for_its_change(found):
    tree = ast.parse(SOURCE)
    lines = ast.unparse(tree).splitlines()
    seen = set()
    for mutant in found:
        text = ast.unparse(changed(SOURCE, mutant.number))
        other = [pair for pair in zip(lines, text.splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(other) == 1, mutant
        seen.add(text)
    assert len(seen) == len(found)


def test_changes_are_the_opposite_sign_the_other_bound_and_the_other_order(found):
    said = {(mutant.kind, mutant.before): mutant.after for mutant in found}
    assert said["sign", "u -= w @ u"] == "u += w @ u"
    assert said["bound", "low < high"] == "low <= high"
    assert said["order", "fields.compose(u, w)"] == "fields.compose(w, u)"
    assert said["order", "1 - 2"] == "2 - 1"
    assert said["constant", "SCALE = 2.0"] == "SCALE = 3.0"


def test_a_sample_has_each_kind_and_stays_when_lines_move(found):
    drawn = mutation.sample(found, 10, seed=3)
    assert [mutant.kind for mutant in drawn] == [*KINDS, *KINDS]
    moved = mutation.sample(mutants("room/module", "\n\n" + SOURCE), 10, seed=3)
    assert [(one.before, one.after, one.line + 2) for one in drawn] == [
        (one.before, one.after, one.line) for one in moved
    ]
    assert sorted(mutation.sample(found, None, 0), key=found.index) == found


def test_every_module_of_the_list_is_there_with_tests_of_its_room():
    for name in mutation.names():
        assert mutants(name, mutation.source_file(name).read_text()), name
        assert mutation.files_of_tests(name), name


RUN = """
import sys
from tests import mutation
tests = [sys.argv.pop() + "::test_looks_at_the_folds_of_the_brain_alone"]
mutation.files_of_tests = lambda _: tests
sys.exit(mutation.main())
"""


def test_what_a_test_looks_at_is_noticed_and_nothing_else():
    command = [sys.executable, "-c", RUN, "scoring/jacobian", "--all", "--at-least", "99", __file__]
    done = subprocess.run(command, cwd=mutation.ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # fewer than 99 % are noticed
    ends = {line.split("  ")[-1]: line.split()[0] for line in done.stdout.splitlines() if "scoring/jacobian:" in line}
    assert {how for text, how in ends.items() if "bound: `inside <= 0`" in text} == {"killed"}
    assert {how for text, how in ends.items() if "`determinant <= 0`" in text} <= {"survived", "survived:"}


def test_looks_at_the_folds_of_the_brain_alone():
    displacement = -identity_grid((4, 4, 4))  # all of it falls into one point
    assert jacobian_metrics(displacement, np.ones((4, 4, 4), dtype=bool))["folds_percent"] == 100
