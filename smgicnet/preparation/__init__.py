"""The way of a scan to the common grid: skull strip, bias field, labels, affine alignment, quality control.

All modules are public. It may import core, registration and imaging.
"""
