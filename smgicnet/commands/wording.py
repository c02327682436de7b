"""What the help of the command line says of options that are long to say or that several commands have."""

from __future__ import annotations

from smgicnet.commands.choices import ROUNDS
from smgicnet.core.shipped import DEFAULT

FORMATS = ("itk", "fsl", "learn2reg")
OF_QUALITY = (
    "how exact, and how long, for two brains at 1 mm; Dice is of four pairs of people of which greedy has 0.752 in 170 "
    "CPU seconds (docs/registration.md): fast, the network alone (0.61, 10 CPU seconds in all); default, refined on "
    "this pair with images of 2 and 1 mm (0.771, 50); best, with a velocity of 1 mm too (0.774, 130)"
)
OF_REFINING = "iterations on this pair on the network's grid, before those on finer images; by default the quality's"
OF_JACOBIAN = (
    "write the Jacobian determinant on the fixed image's grid too, and its logarithm: above 1 (0) where the moving "
    "brain is the larger one, and shrinks to fit the fixed one; below where it is the smaller one, and grows"
)
OF_STRICT = "exit with 3 where the verdict on the result is not good, or where there is none (docs/verdict.md)"
OF_WEIGHTS = f"weights.pt of the last level, or the name of weights that come with the package; by default {DEFAULT}"
OF_FIELDS = f"the formats of the displacement fields: one or more of {', '.join(FORMATS)}; itk by default"
OF_H5 = (
    "h5 is ITK's composite of the field and the affine map, and of the inverse, lta the affine part for FreeSurfer; "
    "none by default for rigid and affine"
)
OF_TEMPLATE = (
    "the template that stays: mni (MNI152NLin6Asym, FSL's), MNI152NLin2009cAsym, or a file; the "
    "names of images on its grid say which"
)
OF_OWN_TEMPLATE = "or a subject of the dataset; or template, the mean of its subjects; by default mni"
OF_ROUNDS = f"how often the last mean is registered to everybody, by default {ROUNDS}; 0 for global maps alone"
OF_TRANSFORM = (
    "where the registration ends: rigid, affine (12 parameters) or deformable, by default; affine.mat has the matrix"
)
OF_OTHERS = (
    "further images of the moving person in the same place (T2, maps), which are brought along, linearly: warped_NAME; "
    "for label maps there is `smgicnet apply -n label`"
)
OF_MASK = (
    "a mask on the {} image's grid of what does not count, as a lesion or a cavity: 1 there, which is the opposite of "
    "ANTs' -x"
)
OF_STRIPPING = (
    "the tool that strips heads: auto, by default, looks at each image and gives heads to deepbet; deepbet, bet (FSL) "
    "and synthstrip (FreeSurfer) strip both; none takes both as they are"
)
OF_CONTRAST = (
    "auto, by default, looks whether fluid, grey and white matter are as dark and bright as in T1, and registers an "
    "image of another contrast, as T2 or FLAIR, as T1 would show it; keep takes both as they are"
)
OF_HEADER = "where an image lies whose NIfTI header names two places; without it such an image is refused"
OF_MEANING = (
    "the meaning of the vectors of a field that does not say it itself: lps and ras in mm (ITK; NiftyReg, older "
    "SynthMorph), FSL's relative or absolute mm, voxels (Learn2Reg)"
)
OF_LANDMARKS = "points of {}, for the target registration error: a CSV with x,y,z in RAS mm, or Slicer's .fcsv"
OF_TRANSFORMS = (
    "in the order of antsApplyTransforms: an ITK or FSL warp, ITK's .mat, .txt, .tfm or composite .h5, FLIRT's .mat, "
    "FreeSurfer's .lta, nitransforms' .x5; [FILE.mat,1] is the inverse of an affine"
)
OF_INTERPOLATION = (
    "linear, by default; cubic; lanczos; for label maps nearest, or label, the label with the largest share of the "
    "voxels around"
)
OF_MOVING = "the image that a transform of FSL or Learn2Reg was made for; by default the first image among the inputs"
