"""The members of a cohort, and the places that its files come from.

Public: `sources` (`SOURCES`, `plan_cohort`), `kinds` (a module a kind of source), `participants`, `subjects`, `bids`,
`archive`, `phantom`, `label_maps`, `template`, `rendering`, `files`. It may import core, registration, imaging and
preparation.
"""
