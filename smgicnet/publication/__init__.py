"""The parts that a reader gets: tables, figures, the audit of the paper, and the page.

Public: `examples`, and the packages `tables`, `figures`, `audit`, `report`. It may import core, registration, imaging,
preparation, cohort and scoring.
"""
