"""elastix by its default parameter maps: rigid, affine, B-splines; the displacement field of all three."""

import sys
from pathlib import Path

import itk

fixed, moving = (itk.imread(path, itk.F) for path in sys.argv[1:3])
folder, threads = Path(sys.argv[3]), int(sys.argv[4])
itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
settings = itk.ParameterObject.New()
for kind in ("rigid", "affine", "bspline"):
    settings.AddParameterMap(settings.GetDefaultParameterMap(kind))
_, found = itk.elastix_registration_method(fixed, moving, parameter_object=settings, number_of_threads=threads)
field = itk.transformix_deformation_field(moving, found)
itk.imwrite(field, str(folder / "warp.nii.gz"))
