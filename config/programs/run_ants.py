"""ANTs' SyN by antspyx: ``TYPE`` is one of its transform types, after its own affine stage."""

import os
import shutil
import sys
from pathlib import Path

fixed, moving, folder, threads, kind = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], sys.argv[5]
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = threads
import ants  # noqa: E402 (it reads the number of threads)

pair = [ants.image_read(path) for path in (fixed, moving)]
found = ants.registration(*pair, type_of_transform=kind, outprefix=f"{folder}/")
files = [Path(file) for file in found["fwdtransforms"]]
for file in files:
    if file.parent != folder:
        shutil.copy(file, folder)
