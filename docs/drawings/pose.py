"""The search for a pose from any start: the correlation of every rotation, and where the best ones are led."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation
from torch import Tensor

from docs.drawings.style import BLUE, DARK, GREY, ORANGE, bare, figure, template
from smgicnet.registration.fields import sample_affine
from smgicnet.registration.frames import Frame, Pair, ball
from smgicnet.registration.gauss_newton import improve
from smgicnet.registration.pose import COARSE, ROTATIONS, SEARCH, SEARCHED, STEPS, find_pose
from smgicnet.registration.rotation_search import angles, search_rotations

SIDE, SPACING = 56, 4.0  # voxels of the grid along each axis, and their size in mm
TURN = Rotation.from_rotvec(np.deg2rad(150) * np.array([0.8, 0.35, 0.49]))  # of the moving head


def draw() -> Figure:
    """Return the drawing."""
    drawing = figure(10, 6.3)
    fixed, moving = on_grid("mni", Rotation.identity()), on_grid("MNI152NLin2009cAsym", TURN)
    pose = find_pose(fixed, moving, ROTATIONS)
    found = sample_affine(moving, pose.matrix, fixed.shape[2:])
    degrees = float(np.rad2deg(TURN.magnitude()))
    titles = ("fixed head", f"moving head, turned by {degrees:.0f}°", "moving head, as it is found")
    for number, (image, title) in enumerate(zip((fixed, moving, found), titles, strict=True)):
        axes = bare(drawing.add_axes((0.075 + 0.305 * number, 0.545, 0.285, 0.4)), title)
        axes.imshow(
            image[0, 0, SIDE // 2, 3:-3, 3:-3].T,
            origin="lower",
            cmap="gray",
            vmin=0,
            vmax=1.05,
            interpolation="bilinear",
        )
    _search(drawing.add_axes((0.08, 0.095, 0.895, 0.39)), fixed, moving)
    return drawing


def on_grid(name: str, turn: Rotation) -> Tensor:
    """Return a template on the common grid, ``(1, 1, SIDE, SIDE, SIDE)``, turned about its centre."""
    image = torch.from_numpy(template(name))[None, None]
    into = np.eye(4)
    into[:3, :3] = SPACING * turn.inv().as_matrix()
    middle = (np.array(image.shape[2:]) - 1) / 2
    into[:3, 3] = middle - into[:3, :3] @ np.full(3, (SIDE - 1) / 2)
    smooth = torch.nn.functional.avg_pool3d(image, 5, stride=1, padding=2)
    return sample_affine(smooth, torch.from_numpy(into), (SIDE,) * 3)


def _search(axes: Axes, fixed: Tensor, moving: Tensor) -> None:
    """Draw each rotation's correlation against how far it is from the truth, and the steps of the best ones."""
    frame = Frame(fixed.shape[2:])
    search, coarse = (Pair(frame.volume(fixed, count), frame.volume(moving, count)) for count in (SEARCH, COARSE))
    starts = search_rotations(search, ball(SEARCH, fixed.device), ROTATIONS, ROTATIONS)
    points = ball(COARSE, fixed.device)
    _, all_scores = improve(coarse, starts, points, 0, rigid=True)
    best = starts.chosen(torch.arange(SEARCHED))
    better, scores = improve(coarse, best, points, STEPS[0], rigid=True)
    apart, before, after = (_apart(maps.through[:, :3, :3]) for maps in (starts, best, better))
    axes.plot(apart, all_scores, "o", color=GREY, markersize=3.2, alpha=0.55, markeredgewidth=0)
    for start, end, low, high in zip(before, after, all_scores, scores, strict=False):
        axes.annotate(
            "", (end, high), (start, low), arrowprops={"arrowstyle": "->", "color": BLUE, "lw": 1, "alpha": 0.6}
        )
    axes.plot(before, all_scores[:SEARCHED], "o", color=ORANGE, markersize=5.5, markeredgecolor="white")
    axes.plot(after, scores, "o", color=BLUE, markersize=6.5, markeredgecolor="white")
    axes.set(xlim=(-4, 184), xticks=range(0, 181, 30), ylim=(0.78, 1.02))
    axes.set(xlabel="degrees from the true rotation", ylabel="correlation")
    legend = (
        (f"each of {ROTATIONS:,} rotations", "#6b747d"),
        (f"the {SEARCHED} best of them", ORANGE),
        (f"the same after at most {STEPS[0]} Gauss-Newton steps", BLUE),
    )
    for place, (text, colour) in enumerate(legend):
        axes.text(97, 1.005 - 0.02 * place, text, ha="center", va="center", color=colour, weight="bold", size=10.5)
    axes.text(178, 0.985, "half a turn away: the next best", ha="right", va="center", color=DARK, size=9.5)
    axes.text(3, 1.01, "the truth", va="center", color=DARK, size=9.5)


def _apart(turns: Tensor) -> np.ndarray:
    """Return how far rotations ``(K, 3, 3)`` are from the true one, in degrees."""
    truth = torch.from_numpy(TURN.as_matrix())
    return np.rad2deg(angles(truth, turns.double()).numpy())
