"""A registry: entries by name, each of which is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any


class Registry(Mapping[str, Any]):
    """Objects of this package by name; ``entries`` says where each stands: ``{"syn": "smgicnet.methods.syn:SyN"}``.

    A job that needs one entry imports that module and no other, and its digest depends on no other.
    """

    def __init__(self, entries: Mapping[str, str]):
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # without importing it

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def module(self, name: str) -> str:
        """Return the dotted name of the module in which an entry stands."""
        return self._entries[name].partition(":")[0]
