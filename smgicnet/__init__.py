"""SM-GICNet: registration of brain MRI without affine pre-registration, and the benchmark around it."""

__version__ = "0.1.0"
