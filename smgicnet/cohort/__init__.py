"""Who is in a cohort, and where its files come from.

Public: `participants`, `subjects`, `sources` (`SOURCES`), `bids`, `archive`, `phantom`, `files`. It may import core,
registration, imaging and preparation.
"""
