"""SM-GICNet: registration of brain MRI without affine pre-registration, and the benchmark around it."""

import os

__version__ = "0.1.0"

# Threads of libgomp that wait for each other spin for milliseconds by default. Beside another busy process that makes
# a training step many times slower; a short spin costs little where the machine is free (docs/performance.md).
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
