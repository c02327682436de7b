#!/usr/bin/env bash
# Run by Snakemake in the new environment. Without dependencies: those that deepbet needs are here and in deepbet.yaml,
# and it states customtkinter for a graphical interface that is not used.
set -euo pipefail
python -m pip install --quiet --no-deps deepbet==1.0.2 connected-components-3d==4.1.1 fastremap==1.21.0 fill-voids==2.1.2
