#!/usr/bin/env bash
# Run by Snakemake in the new environment. Without dependencies: those of antspyx are in ants.yaml, and
# digital-diffeomorphism states numpy<2, which it does not need.
set -euo pipefail
python -m pip install --quiet --no-deps antspyx==0.6.3 digital-diffeomorphism==1.1.1
