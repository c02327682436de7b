"""Imported before torch is: the package sets how its threads wait, as in the workflow."""

import smgicnet  # noqa: F401
