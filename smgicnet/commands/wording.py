"""The help texts of the command line that are long, or that several commands share."""

from __future__ import annotations

from smgicnet.commands.choices import ROUNDS
from smgicnet.core.shipped import DEFAULT

FORMATS = ("itk", "fsl", "learn2reg")
OF_FIXED = "The fixed scan. It stays where it is, and results lie on its voxel grid."
OF_MOVING_SCAN = "The moving scan. It is warped onto the fixed scan."
OF_OUT = "The folder that the results are written to. It is made where it is missing."
OF_QUALITY = (
    "How far the registration is refined on these scans. fast is the network alone, default also refines its map on "
    "images of 2 mm and 1 mm, and best goes on with a velocity at 1 mm. On brains at 1 mm they take 11, 52 and 143 CPU "
    "seconds and reach a Dice of 0.61, 0.771 and 0.774 on four pairs of people, where greedy has 0.752 in 167 CPU "
    "seconds (docs/registration.md). The default is default."
)
OF_REFINING = (
    "The number of iterations on these scans on the network's grid, before those on finer images. The default "
    "is that of the quality: 0 for fast and 10 for the others."
)
OF_JACOBIAN = (
    "Also write the Jacobian determinant of the map on the fixed scan's grid, and its natural logarithm. Above 1 "
    "(logarithm above 0) the moving brain is the larger one there, and is shrunk to fit the fixed one. Below 1 it is "
    "the smaller one, and is stretched."
)
OF_STRICT = (
    "Exit with status 3 unless the verdict on the result is good. A registration without a verdict, such as a rigid "
    "one, also exits with 3 (docs/verdict.md)."
)
OF_WEIGHTS = (
    "The weights of the network: the file weights.pt of a training's last level, or the name of weights that come with "
    f"the package. The default is {DEFAULT}."
)
OF_FORMAT = (
    "The formats in which the map is written, one or more: itk, fsl and learn2reg are displacement fields, h5 is ITK's "
    "composite of the affine map and the field, with its inverse, and lta is the affine part for FreeSurfer. The "
    "default is itk, and none for --transform rigid or affine."
)
OF_TEMPLATE = (
    "The template that scans are brought to: mni (MNI152NLin6Asym, as in FSL), MNI152NLin2009cAsym, or an image file. "
    "Names of results on a named template's grid say which one it is."
)
OF_BIDS_TEMPLATE = (
    "The template that scans are brought to: mni (MNI152NLin6Asym, as in FSL), MNI152NLin2009cAsym, an image file, the "
    "label of a subject of the dataset, or template, the mean image of all its subjects, which is made first. The "
    "default is the template of the derivatives that OUT holds, and mni for a new folder."
)
OF_ROUNDS = (
    f"How many times the last mean image is registered to everybody. The default is {ROUNDS}; with 0 only affine maps "
    "bring the scans together."
)
OF_SPACING = "The voxel size of the mean image in mm, 0.2 to 8. The default is the smallest of the scans', at least 1."
OF_TRANSFORM = (
    "The kind of map at which the registration ends: rigid, affine (12 parameters) or deformable. The default is "
    "deformable. affine.mat holds the matrix of a rigid or affine map, or the affine part of a deformable one."
)
OF_OTHERS = (
    "Further images of the moving person that lie in the same place, such as a T2 scan or a map. They are warped with "
    "linear interpolation and written as warped_NAME. For label maps use `smgicnet apply -n label`."
)
OF_MASK = (
    "A mask on the {} scan's grid that is 1 where the scan does not count, for instance in a lesion or a cavity, and 0 "
    "elsewhere. This is the opposite of ANTs' -x."
)
OF_STRIPPED = "Take both scans as brains without a skull, even where one looks like a head."
OF_STRIPPING = (
    "The tool that strips the skull. auto looks at each scan and gives heads to deepbet. deepbet, bet (FSL) and "
    "synthstrip (FreeSurfer) strip every scan. none takes every scan as it is. Templates that come with the package "
    "are never stripped. The default is auto."
)
OF_CONTRAST = (
    "How intensities are taken. auto looks whether fluid, grey and white matter are ordered as in a T1 scan, and "
    "registers a scan of another contrast, such as T2 or FLAIR, with the intensities that T1 would give it. keep takes "
    "them as they are. The default is auto."
)
OF_HEADER = (
    "The description of the scan's place that is used where a NIfTI header holds two that differ, its sform or its "
    "qform (docs/headers.md). By default such a file is refused."
)
OF_MEANING = (
    "The meaning of the vectors of a field whose header does not say it: lps is mm as in ITK, ras is mm as in "
    "NiftyReg and older SynthMorph, fsl-rel and fsl-abs are FSL's relative and absolute mm, and voxels is Learn2Reg's. "
    "By default such a field is refused."
)
OF_LANDMARKS = (
    "The landmarks of the {} image, for the target registration error in mm: a CSV with the columns x, y and z in RAS "
    "mm, or Slicer's .fcsv. Give both files."
)
OF_TRANSFORMS = (
    "The transforms, in the order of antsApplyTransforms: an ITK or FSL warp, ITK's .mat, .txt, .tfm or composite .h5, "
    "FLIRT's .mat, FreeSurfer's .lta, or nitransforms' .x5. [FILE.mat,1] is the inverse of an affine map."
)
OF_INTERPOLATION = (
    "The interpolation: linear, cubic or lanczos for images; nearest or label for label maps, where label takes the "
    "label with the largest share of the voxels around. The default is linear."
)
OF_MOVING = (
    "The image that a transform of FSL or Learn2Reg was made for, whose grid its numbers depend on. The default is the "
    "first image among the inputs."
)
OF_SCORED_MOVING = (
    "The image that a transform of FSL or Learn2Reg was made for, where its grid is not that of B. The default is B."
)
OF_PROTOCOL = (
    "The protocol of both label maps: freesurfer, a2009s, aparc.DKT, seg35, or a table of your own "
    "(docs/cohorts.md). The default is freesurfer."
)
OF_INPUTS = (
    "The images (NIfTI, MGH; one volume or a series), or points: a CSV with the columns x, y and z in RAS mm, Slicer's "
    ".fcsv, or a GIfTI surface."
)
OF_GRID = "The fixed image, on whose voxel grid the results lie. Only its header is read."
OF_RESULTS = "The file of the result, or a folder for the results of several inputs, which keep their names."
OF_DERIVATIVES = "The folder of the derivatives. It is for one template, and is made where it is missing."
OF_LEVEL = "The step: participant registers images, and group writes the table and the page of all images."
OF_SUBJECTS = "Register only these subjects, with or without sub-. By default all are registered."
OF_PEOPLE = "The T1 scans of the people, heads or brains, one of each person."
OF_LABELS = {
    "fixed": "The label map of the fixed image, on whose grid everything is compared.",
    "moving": "The label map of the moving image, which is warped by nearest neighbours.",
}
OF_SCORES = "Also write the scores to a CSV, with a row for each metric and region."
OF_TARGETS = "The targets of the run, as for Snakemake. By default everything is planned."
OF_CONFIG = "The config of the run. The default is config/config.yaml."
OF_SNAKEFILE = "The workflow. The default is Snakefile in the current folder."
OF_CORES = "The number of cores that the run may use. The default is all cores of this machine."
OF_JOB_MINUTES = (
    "The wished length in minutes of a job that registers pairs, as a profile's job_minutes gives it to the run. The "
    "default is 20."
)
OF_PICTURE = "Draw the first picture alone. Neither Snakemake nor a checkout is needed for it."
OF_TABLES = "A table, the JSON file beside it, or a folder of results, in which all tables are found."
OF_PREPARED = "The folder of the prepared subjects and of the results."
OF_TRAINING = "The label maps of the people who train."
OF_VALIDATING = "The label maps of the people who validate."
OF_STEPS = "The number of steps. The default is 3000."
OF_SEED = "The seed of the training. The default is 1."
OF_THREADS = "The number of threads. The default is all processors."
OF_OWN_THREADS = "The number of threads. The default is the config's."
OF_AXES = "The axes of the authors' images, such as LPS (docs/baselines.md)."
OF_VARIANT = "The form of LapIRN. By default the file's name says it."
OF_FILES = "The number of files that are opened at a time. The default is at most 4."
OF_SOURCE_TOOL = "The tool that the field is from. By default its header says it."
OF_ABSOLUTE = "FSL's warp holds coordinates."
OF_RELATIVE = "FSL's warp holds displacements."
