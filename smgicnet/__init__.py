"""SM-GICNet: registration of brain MRI without affine pre-registration, and the benchmark around it.

``smgicnet.register(fixed, moving)`` registers two scans: `smgicnet.commands.api.register`.
"""

from importlib import import_module

__version__ = "0.2.0"
_API = ("register", "Registration", "Transform")


def __getattr__(name: str) -> object:
    """Return what Python offers, which is imported when it is asked for.

    Not by a statement: every module depends on this one, and the results of the workflow on all that a module imports.
    """
    if name in _API:
        return getattr(import_module("smgicnet.commands.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_API, "__version__"]
