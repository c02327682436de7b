"""Imported before torch is: the package sets how its threads wait."""

import smgicnet  # noqa: F401
