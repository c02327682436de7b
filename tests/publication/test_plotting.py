"""Figures: the right slice the right way round, and the same bytes every time."""

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection

from smgicnet.publication.figures import canvas, plotting
from smgicnet.publication.figures.registration_figures import registration_figure

SHAPE = (20, 24, 16)


@pytest.fixture
def example():
    fixed = np.zeros(SHAPE, dtype=np.float32)
    fixed[4:16, 3:21, 5:12] = 0.5  # the middle of 5..11 is 8
    fixed[15, 20, 8] = 1.0  # the subject's right, anterior
    displacement = np.zeros((3, *SHAPE), dtype=np.float32)
    displacement[0], displacement[1], displacement[2] = 2, -1, 5
    images = {"fixed": fixed, "moving": np.roll(fixed, 2, 0), "warped": 0.9 * fixed, "displacement": displacement}
    return {**images, "name_fixed": "sub-1", "name_moving": "sub-2", "dice_before": 0.123, "dice_after": 0.876}


def panels(figure):
    return [axis for axis in figure.axes if axis.images]


def test_a_row_shows_the_central_slice_with_anterior_up_and_right_to_the_right(example):
    figure = registration_figure([example, example])
    axes = panels(figure)
    assert len(axes) == 12
    image = axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), example["fixed"][:, :, 8].T)
    assert image.origin == "lower"
    brightest = np.unravel_index(np.argmax(image.get_array()), image.get_array().shape)
    assert brightest == (20, 15)  # row: anterior, upwards; column: the subject's right, to the right
    assert axes[0].get_ylim()[0] < axes[0].get_ylim()[1]
    assert axes[0].get_xlim()[0] < axes[0].get_xlim()[1]
    left, right = axes[0].texts
    assert (left.get_text(), right.get_text()) == ("L", "R")
    assert left.get_position()[0] < right.get_position()[0]


def test_differences_are_before_and_after(example):
    axes = panels(registration_figure([example]))
    fixed, moving, warped = (example[name][:, :, 8].T for name in ("fixed", "moving", "warped"))
    np.testing.assert_allclose(axes[3].images[0].get_array(), np.abs(fixed - moving))
    np.testing.assert_allclose(axes[4].images[0].get_array(), np.abs(fixed - warped))
    assert [axis.get_xlabel() for axis in axes[:4]] == ["", "Dice 0.12", "Dice 0.88", ""]
    assert "before" in axes[3].get_title()
    assert "after" in axes[4].get_title()


def test_the_grid_is_phi_in_the_plane(example):
    [lines] = [c for c in panels(registration_figure([example]))[5].collections if isinstance(c, LineCollection)]
    first = lines.get_segments()[0]  # the lattice line x = 0, moved by (2, -1)
    np.testing.assert_allclose(first[:, 0], 2)
    np.testing.assert_allclose(first[:, 1], np.arange(SHAPE[1]) - 1)
    last = lines.get_segments()[-1]
    np.testing.assert_allclose(last[:, 0], np.arange(SHAPE[0]) + 2)


def test_text_is_legible_and_inside_a_column(example):
    figure = registration_figure([example])
    assert figure.get_figwidth() * 25.4 == pytest.approx(85)
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 6
    figure.canvas.draw()  # places the labels of the axes
    renderer = figure.canvas.get_renderer()
    page = figure.bbox
    for text in texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_same_figure_gives_the_same_bytes_whatever_the_users_settings(example, tmp_path, suffix, monkeypatch):
    [first] = canvas.save(registration_figure([example]), [tmp_path / f"first{suffix}"])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # a date would show
    with matplotlib.rc_context({"font.size": 20, "font.sans-serif": ["DejaVu Serif"], "svg.hashsalt": None}):
        [second] = canvas.save(registration_figure([example]), [tmp_path / f"second{suffix}"])
    assert first.read_bytes() == second.read_bytes()
    assert b"CreationDate" not in first.read_bytes()


def test_one_path_makes_png_and_pdf_and_keeps_its_dots(example, tmp_path):
    figure = registration_figure([example])
    written = canvas.save(figure, tmp_path / "new" / "ixi.raw")
    assert [path.name for path in written] == ["ixi.raw.png", "ixi.raw.pdf"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match="jpg"):
        canvas.save(figure, [tmp_path / "x.jpg"])


def test_the_style_ends_with_its_context():
    before = dict(matplotlib.rcParams)
    with plotting.style():
        assert matplotlib.rcParams["font.size"] == 7
    assert dict(matplotlib.rcParams) == before


def test_empty_input_and_an_empty_image(example):
    with pytest.raises(ValueError, match="at least one"):
        registration_figure([])
    blank = {**example, **{name: np.zeros(SHAPE) for name in ("fixed", "moving", "warped")}}
    assert len(panels(registration_figure([blank]))) == 6
