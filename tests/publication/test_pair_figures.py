"""Figures of pairs: the right image in the right place, one scale for all, legible however many methods there are."""

import itertools

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver

from smgicnet.publication.figures.canvas import save
from smgicnet.publication.figures.pair_figures import methods_figure
from smgicnet.publication.figures.reciprocal_figures import reciprocal_figure
from smgicnet.registration.fields import compose
from tests.support.figures import assert_legible

SHAPE = (20, 24, 16)
BASES = ("SyN", "ICNet", "LapIRN", "SM-GICNet", "SynthMorph", "GradICON")
NAMES = [base + arm for base in BASES for arm in ("", " w.affine")]


def example(run=0, fixed="sub-1", moving="sub-2", shape=SHAPE):
    brain = np.zeros(shape)
    brain[3:-3, 2:-2, 3:-3] = 0.5
    brain[-4, -3, 7] = 0.9  # the subject's right, anterior
    return {
        "name_fixed": fixed,
        "name_moving": moving,
        "fixed": brain,
        "moving": np.roll(brain, 2, 0),
        "warped": brain * (1 - 0.02 * run),
        "displacement": np.full((3, *shape), 0.1 * (run + 1)),
        "dice_before": 0.123,
        "dice_after": 0.6 + 0.01 * run,
    }


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


def titles(figure):
    return [axis.get_title().replace("\n", " ") for axis in figure.axes if axis.get_title()]


def test_each_run_shows_its_image_difference_and_score():
    pair = [example(run) for run in range(3)]
    figure = methods_figure([pair], NAMES[:3])
    assert titles(figure) == ["Fixed", "Moving", *NAMES[:3]]
    fixed, moving, moving_difference, *rest = panels(figure)
    assert len(rest) == 6
    np.testing.assert_array_equal(fixed.images[0].get_array(), pair[0]["fixed"][:, :, 7].T)
    np.testing.assert_array_equal(moving.images[0].get_array(), pair[0]["moving"][:, :, 7].T)
    before = np.abs(pair[0]["moving"] - pair[0]["fixed"])[:, :, 7].T
    np.testing.assert_allclose(moving_difference.images[0].get_array(), before)
    assert (fixed.get_xlabel(), moving.get_xlabel()) == ("", "Dice 0.12")
    for run, (image, difference) in enumerate(zip(rest[::2], rest[1::2])):
        np.testing.assert_array_equal(image.images[0].get_array(), pair[run]["warped"][:, :, 7].T)
        after = np.abs(pair[run]["warped"] - pair[run]["fixed"])[:, :, 7].T
        np.testing.assert_allclose(difference.images[0].get_array(), after)
        assert image.get_xlabel() == f"Dice {pair[run]['dice_after']:.2f}"
        assert image.get_position().y0 > difference.get_position().y1
    assert [text.get_text() for text in figure.texts] == ["sub-2 → sub-1"]
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["L", "R"]


def test_differences_share_one_scale_and_one_colour_bar():
    pairs = [[example(run) for run in (5, 9)], [example(0, "c", "d")] * 2]
    figure = methods_figure(pairs, NAMES[:2])
    differences = [axis.images[0] for axis in panels(figure) if axis.images[0].get_cmap().name == "magma"]
    assert len(differences) == 6
    assert {image.get_clim() for image in differences} == {(0, 0.1)}  # 9 of 100 of 0.5
    bars = figure.findobj(lambda artist: getattr(artist, "_colorbar", None) is not None)
    assert len(bars) == 1
    assert [tick.get_text() for tick in bars[0].get_yticklabels()] == ["0", "0.05", "≥ 0.1"]  # more before
    assert {axis.images[0].get_clim() for axis in panels(figure) if axis.images[0].get_cmap().name == "gray"} == {
        (0, 1)
    }


@pytest.mark.parametrize(("count", "width"), [(1, 85), (4, 85), (9, 85), (12, 85), (9, 180), (12, 180)])
def test_many_methods_wrap_and_stay_legible(count, width):
    figure = methods_figure([[example(run) for run in range(count)]], NAMES[:count], width)
    assert_legible(figure, width)
    shown = panels(figure)
    assert len(shown) == 2 * count + 3
    assert min(axis.get_position().width * figure.get_figwidth() * 25.4 for axis in shown) >= 12
    bands = len({round(axis.get_position().y0, 6) for axis in shown}) // 2
    assert bands == {(9, 85): 2, (12, 85): 3, (12, 180): 2}.get((count, width), 1)
    assert not any(
        a.get_position().overlaps(b.get_position().shrunk(0.99, 0.99)) for a, b in itertools.combinations(shown, 2)
    )


def test_pairs_of_other_shapes_and_a_page_that_would_be_too_high():
    pairs = [[example(run) for run in range(12)], [example(run, "c", "d", (30, 40, 16)) for run in range(12)]]
    figure = methods_figure(pairs, NAMES, 180)
    assert_legible(figure, 180)
    assert figure.get_figheight() * 25.4 == pytest.approx(240)
    heights = {round(axis.get_position().height, 5) for axis in panels(figure)}
    assert len(heights) == 2
    assert [text.get_text() for text in figure.texts] == ["sub-2 → sub-1", "d → c"]


def test_unknown_scores_are_not_written_and_an_empty_image_is_drawn():
    blank = {name: np.zeros(SHAPE) for name in ("fixed", "moving", "warped")}
    figure = methods_figure([[{**example(), **blank, "dice_before": np.nan, "dice_after": np.nan}]], ["SyN"])
    assert {axis.get_xlabel() for axis in panels(figure)} == {""}
    assert_legible(figure)


def test_what_does_not_match_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        methods_figure([], NAMES[:1])
    with pytest.raises(ValueError, match="2 runs are named"):
        methods_figure([[example()]], NAMES[:2])
    with pytest.raises(ValueError, match="different pairs or shapes"):
        methods_figure([[example(), example(fixed="other")]], NAMES[:2])


def both_ways(seed=0):
    random = np.random.default_rng(seed)
    forward, backward = example(0), example(1, "sub-2", "sub-1")
    backward["fixed"], backward["moving"] = forward["moving"], forward["fixed"]
    for one in (forward, backward):
        one["displacement"] = random.normal(0, 1.5, (3, *SHAPE)).astype(np.float32)
    return forward, backward


def test_the_round_trip_is_the_composition_of_the_fields():
    forward, backward = both_ways()
    spacing = np.array([1.0, 1.5, 2.0])
    figure = reciprocal_figure(forward, backward, spacing)
    shown = panels(figure)
    assert len(shown) == 8
    for one, other, (fixed, warped, length, error) in ((forward, backward, shown[:4]), (backward, forward, shown[4:])):
        np.testing.assert_array_equal(fixed.images[0].get_array(), one["fixed"][:, :, 7].T)
        np.testing.assert_array_equal(warped.images[0].get_array(), one["warped"][:, :, 7].T)
        tensors = [torch.from_numpy(part["displacement"])[None] for part in (other, one)]
        expected = np.linalg.norm(compose(*tensors)[0].numpy() * spacing[:, None, None, None], axis=0)
        brain = one["fixed"] > 0
        assert np.array_equal(~np.ma.getmaskarray(error.images[0].get_array()), brain[:, :, 7].T)
        drawn = error.images[0].get_array()
        np.testing.assert_allclose(drawn.compressed(), expected[:, :, 7].T[~drawn.mask], atol=1e-4)
        assert f"mean {expected[brain].mean():.2g} mm" in error.get_title()
        size = np.linalg.norm(one["displacement"] * spacing[:, None, None, None], axis=0)[:, :, 7].T
        drawn = length.images[0].get_array()
        np.testing.assert_allclose(drawn.compressed(), size[~drawn.mask], atol=1e-4)
        assert f"Dice {one['dice_after']:.2f}" in warped.get_title()
    assert shown[2].images[0].get_clim() == shown[6].images[0].get_clim()
    assert shown[3].images[0].get_clim() == shown[7].images[0].get_clim()
    assert [text.get_text() for text in figure.texts] == ["sub-2 → sub-1", "sub-1 → sub-2"]
    assert {axis.get_xlabel() for axis in figure.axes} == {"", "Displacement (mm)", "Round-trip error (mm)"}
    assert_legible(figure)


def test_arrows_are_the_field_in_the_plane_and_units_are_voxels_without_a_spacing():
    forward, backward = both_ways()
    figure = reciprocal_figure(forward, backward)
    [arrows] = [c for c in panels(figure)[2].collections if isinstance(c, Quiver)]
    x, y = arrows.XY.astype(int).T
    np.testing.assert_allclose(arrows.U, forward["displacement"][0, x, y, 7], rtol=1e-6)
    np.testing.assert_allclose(arrows.V, forward["displacement"][1, x, y, 7], rtol=1e-6)
    assert (forward["fixed"][x, y, 7] > 0).all()
    [other] = [c for c in panels(figure)[6].collections if isinstance(c, Quiver)]
    assert arrows.scale == other.scale
    assert {axis.get_xlabel() for axis in figure.axes} == {"", "Displacement (voxels)", "Round-trip error (voxels)"}


def test_fields_that_cancel_leave_nothing_and_empty_pairs_are_drawn():
    forward, backward = both_ways()
    shift = np.array([2.0, -1.0, 0.5])[:, None, None, None]
    forward["displacement"], backward["displacement"] = (np.broadcast_to(s, (3, *SHAPE)) for s in (shift, -shift))
    forward["dice_after"] = np.nan
    figure = reciprocal_figure(forward, backward)
    error = panels(figure)[3]
    assert np.abs(error.images[0].get_array()).max() < 1e-12
    assert "mean 0 voxels" in error.get_title()
    assert panels(figure)[1].get_title() == "Warped"
    nothing = {"fixed": np.zeros(SHAPE), "displacement": np.zeros((3, *SHAPE))}
    assert len(panels(reciprocal_figure({**forward, **nothing}, {**backward, **nothing}))) == 8


def test_two_directions_must_be_of_one_pair():
    forward, backward = both_ways()
    with pytest.raises(ValueError, match="two directions of one pair"):
        reciprocal_figure(forward, forward)
    with pytest.raises(ValueError, match="one shape"):
        reciprocal_figure(forward, {**backward, "displacement": np.zeros((3, 4, 4, 4))})


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_same_pairs_give_the_same_bytes(tmp_path, suffix):
    pair = [example(run) for run in range(2)]
    for draw in (lambda: methods_figure([pair], NAMES[:2]), lambda: reciprocal_figure(*both_ways())):
        [first] = save(draw(), [tmp_path / f"first{suffix}"])
        [second] = save(draw(), [tmp_path / f"second{suffix}"])
        assert first.read_bytes() == second.read_bytes()
