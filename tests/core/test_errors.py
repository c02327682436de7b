"""Messages that name source, problem and remedy, and neither flood nor steer the terminal."""

import pickle

import pytest

from smgicnet.core.errors import LONGEST, InputError, InputErrors, attempt, printable, shortened


def test_a_message_has_its_parts_in_order_and_survives_another_process():
    error = InputError("scan.nii", "it is empty", "Fetch it again")
    assert str(error) == "scan.nii: it is empty. Fetch it again."
    again = pickle.loads(pickle.dumps(error))
    assert (again.source, again.problem, again.remedy) == ("scan.nii", "it is empty", "Fetch it again")
    several = pickle.loads(pickle.dumps(InputErrors([error, InputError("b", "c", "D")])))
    assert str(several) == f"{error}\nb: c. D."
    assert [one.source for one in several.problems] == ["scan.nii", "b"]


def test_a_long_text_loses_its_middle():
    text = "begin" + "x" * 2 * LONGEST + "end"
    assert len(shortened(text)) <= LONGEST
    assert shortened(text).startswith("begin")
    assert shortened(text).endswith("end")
    assert " ... " in shortened(text)
    assert shortened("short") == "short"


def test_control_characters_are_escapes_and_lines_stay_lines():
    assert printable("a\x1b[2J\nb\u202e") == "a\\x1b[2J\nb\\u202e"


def test_what_cannot_be_used_is_noted_and_what_is_wrong_is_raised():
    def refuse():
        raise InputError("a", "b", "C")

    problems = []
    assert attempt(problems, int, "7") == 7
    assert attempt(problems, refuse) is None
    assert [one.source for one in problems] == ["a"]
    with pytest.raises(ZeroDivisionError):
        attempt(problems, lambda: 1 // 0)
