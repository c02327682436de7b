"""The choices of a registration, for the command line, which waits for no torch, and for the code that registers."""

from __future__ import annotations

STRIPPING = ("auto", "deepbet", "bet", "synthstrip", "none")
TRANSFORMS = (RIGID, AFFINE, DEFORMABLE) = ("rigid", "affine", "deformable")  # where a registration ends
CONTRASTS = ("auto", "keep")  # whether the intensities of scans that are no T1 images are brought to those of T1
ROUNDS = 3  # of a template, unless another number is given
