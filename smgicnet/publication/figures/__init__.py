"""Figures, drawn in mm on a page of a journal's width."""
