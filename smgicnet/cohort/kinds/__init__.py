"""The kinds of sources, a module and a class each. `smgicnet.cohort.sources` finds them by the name in the config.

Snakemake plans cohorts in an environment of its own: these modules import neither torch nor SciPy nor nibabel.
"""
