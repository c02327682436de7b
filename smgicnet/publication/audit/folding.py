"""The row "|JD| <= 0" of Table 1: what the right statistic of folding, and some wrong ones, give for known fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from smgicnet.publication.audit.text import (
    DISAGREES,
    IN_ORDER,
    Finding,
    Section,
    listed,
    paragraph,
    sentence,
    share,
    table,
    verb,
)
from smgicnet.registration.fields import affine_displacement, compose, exp, identity_grid, jacobian_determinant

SIZE = 64  # voxels along each axis of the grid
SEEDS = 4  # fields of a kind
ROTATION, SCALE = 10.0, 0.08  # degrees about a random axis; the scale is drawn from 1 - SCALE to 1 + SCALE


@dataclass(frozen=True)
class FieldKind:
    """Uniform white noise smoothed by a Gaussian of ``sigma`` voxels, its largest component ``amplitude`` voxels.

    It is a velocity that is integrated, or the displacement itself; ``posed`` adds a global rotation and scale.
    """

    sigma: float
    amplitude: float
    integrated: bool = True
    posed: bool = False

    @property
    def label(self) -> str:
        """The kind in words."""
        source, pose = "exp(v)" if self.integrated else "u", ", posed" if self.posed else ""
        return f"{source}: σ {self.sigma:g}, largest {self.amplitude:g}{pose}"


KINDS = (
    FieldKind(8, 1),
    FieldKind(8, 6),
    FieldKind(3, 8),
    FieldKind(1, 12),
    FieldKind(8, 6, posed=True),
    FieldKind(3, 8, posed=True),
    FieldKind(2, 7, integrated=False),  # 7 voxels: the bound of ICNet's output layer
    FieldKind(0, 7, integrated=False),
)


def without_identity(displacement: Tensor) -> Tensor:
    """Return ``det(Du)``, the determinant of ``phi - id``; shapes as of `jacobian_determinant`."""
    return jacobian_determinant(displacement - identity_grid(displacement.shape[2:], dtype=displacement.dtype))


def unit_identity(displacement: Tensor) -> Tensor:
    """Return ``det(I + Du / c)``, which has the sign of ``det(cI + Du)``.

    ``c = 2 / (N - 1)`` is the step of a grid of [-1, 1].

    ``displacement`` is in voxels, on a cube of N voxels a side.
    """
    return jacobian_determinant(displacement * ((displacement.shape[-1] - 1) / 2))


RIGHT = "det(I + Du) ≤ 0"
SIGNS = ("det(Du) ≤ 0", "det(cI + Du) ≤ 0")
STATISTICS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {  # the voxels that count, and what that means
    RIGHT: (lambda u: jacobian_determinant(u) <= 0, "folding: the determinant of φ = id + u, all in voxels"),
    SIGNS[0]: (lambda u: without_identity(u) <= 0, "the identity is left out"),
    SIGNS[1]: (
        lambda u: unit_identity(u) <= 0,
        f"u in voxels is added to a grid of [−1, 1], whose step is c = 2 / (N − 1), here {2 / (SIZE - 1):.3f}",
    ),
    "det(I + Du) ≤ 1": (lambda u: jacobian_determinant(u) <= 1, "voxels that do not grow: log |J| ≤ 0"),
    "det(I + 2Du) ≤ 0": (lambda u: jacobian_determinant(2 * u) <= 0, "a displacement that is scaled twice"),
}


def random_displacement(kind: FieldKind, seed: int, size: int = SIZE) -> Tensor:
    """Return a displacement ``(1, 3, size, size, size)`` in voxels, the same for the same seed."""
    generator = np.random.default_rng(seed)
    noise = generator.uniform(-1, 1, (3, size, size, size))
    smooth = ndimage.gaussian_filter(noise, kind.sigma, mode="reflect", axes=(1, 2, 3))
    field = torch.from_numpy(smooth * (kind.amplitude / np.abs(smooth).max()))[None]
    if kind.integrated:
        field = exp(field)
    if kind.posed:
        axis = generator.standard_normal(3)
        turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(ROTATION)).as_matrix()
        matrix = torch.from_numpy(turn * generator.uniform(1 - SCALE, 1 + SCALE))[None]
        field = compose(field, affine_displacement(matrix, matrix.new_zeros(1, 3), field.shape[2:]))
    return field


def measure(seeds: Sequence[int], kinds: Sequence[FieldKind] = KINDS, size: int = SIZE) -> pd.DataFrame:
    """Return the fraction of voxels that each of `STATISTICS` counts: columns kind (its label), statistic, mean, sd."""
    rows = []
    for kind in kinds:
        for seed in seeds:
            displacement = random_displacement(kind, seed, size)
            for name, (counted, _) in STATISTICS.items():
                rows.append((kind.label, name, counted(displacement).double().mean().item()))
    frame = pd.DataFrame(rows, columns=["kind", "statistic", "fraction"])
    return frame.groupby(["kind", "statistic"], sort=False)["fraction"].agg(mean="mean", sd="std").reset_index()


@dataclass(frozen=True)
class Printed:
    """The paper's row for all networks: range of the means, range of mean ± SD, and the largest SD."""

    low: float
    high: float
    lowest: float
    highest: float
    sd: float

    def like(self, mean: float, sd: float) -> bool:
        """Return whether a mean and an SD over fields could stand among the printed ones."""
        return self.lowest <= mean <= self.highest and sd <= self.sd


def printed_row(paper: Mapping) -> Printed:
    """Return ``|JD| <= 0`` of every network of Table 1."""
    rows = [metrics["folds_fraction"] for metrics in paper["table1"].values()]
    found = [(cell["mean"], cell["sd"]) for row in rows for x, cell in row.items() if x not in paper["iterative"]]
    means, sds = zip(*found, strict=True)
    return Printed(min(means), max(means), min(m - s for m, s in found), max(m + s for m, s in found), max(sds))


def section(paper: Mapping, seed: int) -> Section:
    """Check which statistics give fractions like the paper's, and for which fields."""
    printed, seeds = printed_row(paper), range(seed, seed + SEEDS)
    values = measure(seeds)
    values["like"] = [printed.like(mean, sd) for mean, sd in zip(values["mean"], values["sd"], strict=True)]
    kinds = {name: list(group.loc[group["like"], "kind"]) for name, group in values.groupby("statistic", sort=False)}
    integrated = [kind.label for kind in KINDS if kind.integrated]
    folded = values[values["statistic"] == RIGHT].set_index("kind")["mean"]
    possible = any(kind in kinds[RIGHT] for kind in integrated)
    finding = (
        f"{printed.low:.3f} to {printed.high:.3f} is printed; fields exp(v) fold in a fraction of at most"
        f" {folded[integrated].max():.3f} here"
    )
    return Section(
        "The Jacobian row of Table 1",
        (Finding("|JD| ≤ 0 of the networks", finding, IN_ORDER if possible else DISAGREES),),
        (
            _method(paper, printed, seeds),
            "\n".join(f"- {name}: {meaning}" for name, (_, meaning) in STATISTICS.items()),
            _value_table(values),
            _right_statistic(kinds[RIGHT], folded, integrated),
            *_wrong_statistics(values, kinds, folded),
        ),
    )


def _method(paper: Mapping, printed: Printed, seeds: range) -> str:
    others = [
        f"{label} ({name}) {metrics['folds_fraction'][label]['mean']:.3f}"
        for name, metrics in paper["table1"].items()
        for label in paper["iterative"]
    ]
    return paragraph(
        f"Table 1 prints means of {printed.low:.3f} to {printed.high:.3f} and SDs of up to {printed.sd:.3f} for the",
        f"networks, in all {printed.lowest:.3f} to {printed.highest:.3f} within an SD of a mean; the others are",
        f"{', '.join(others)}. Here the same is computed for fields of a known nature, on a grid of {SIZE}³ voxels.",
        "Uniform noise, smoothed by a Gaussian of σ voxels and scaled to a largest component in voxels, is either a",
        "velocity v, integrated to exp(v) as in Section 3.2, or the displacement u itself, as of a network that does",
        f"not integrate. *Posed* fields also have a rotation of {ROTATION:g}° about a random axis and a scale within",
        f"±{SCALE:.0%}. The kinds of field are this audit's choice. Mean ± SD over the seeds {seeds[0]} to",
        f"{seeds[-1]}; **bold** if they are like the printed ones: a mean between {printed.lowest:.3f} and",
        f"{printed.highest:.3f}, an SD of at most {printed.sd:.3f}.",
    )


def _value_table(values: pd.DataFrame) -> str:
    lines = []
    for kind, rows in values.groupby("kind", sort=False):
        texts = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(rows["mean"], rows["sd"], strict=True)]
        lines.append([kind, *(f"**{t}**" if like else t for t, like in zip(texts, rows["like"], strict=True))])
    return table(["Field", *STATISTICS], lines, "l" + "r" * len(STATISTICS))


def _right_statistic(like: Sequence[str], folded: pd.Series, integrated: Sequence[str]) -> str:
    """What the fraction of folded voxels is for these fields."""
    free = [f"{folded[kind]:.3f} for {kind}" for kind in folded.index if kind not in integrated]
    text = (
        f"{share(len(like), len(folded))} kinds of field {verb(len(like), 'has', 'have')} a fraction of folded voxels"
        " like the printed ones"
    )
    return paragraph(
        sentence(listed(text, like)),
        f"It is at most {folded[integrated].max():.3f} in fields exp(v), and {', '.join(free)}; with σ 0 neighbouring",
        "voxels move independently of each other.",
    )


def _wrong_statistics(values: pd.DataFrame, kinds: Mapping[str, Sequence[str]], folded: pd.Series) -> list[str]:
    """Which other statistics give the printed values, and what they say of folding."""
    means = values.set_index(["statistic", "kind"])["mean"]
    better = {name: list(found) for name, found in kinds.items() if name != RIGHT and len(found) > len(folded) / 2}
    if not better:
        return [paragraph("No other statistic gives values like the printed ones for most kinds of field.")]
    lines = []
    for name, found in better.items():
        ranges = [f"{x.min():.3f} to {x.max():.3f}" for x in (means[name][found], folded[found])]
        lines.append([name, f"{len(found)} of {len(folded)}", *ranges])
    headers = ["Statistic", "Kinds of field", "Its mean there", "Fraction folded there"]
    signs = (
        "Where the identity is missing, or small against Du, the statistic is that of a sign: det(−A) = −det(A) in"
        " three dimensions, so that the fraction is one half, as in flipping a coin, wherever u and −u are equally"
        " likely. Rotation and scale have no such symmetry; they matter the less, the rougher the field."
    )
    return [
        paragraph("For most kinds of field, values like the printed ones come from:"),
        table(headers, lines, "lrrr"),
        paragraph(signs) if set(better) & set(SIGNS) else "",
        paragraph(
            "A row that was computed in one of these ways does not say which fields fold, or which fold less; only the",
            "fields themselves would tell. Which statistic the paper has computed cannot be told from its numbers.",
        ),
    ]
