#!/usr/bin/env bash
# Run by Snakemake in the new environment. Without dependencies: those that the networks of icon-registration need are
# in icon.yaml, and it states ITK, torchvision and others for what is not used here; digital-diffeomorphism states
# numpy<2, which it does not need.
set -euo pipefail
python -m pip install --quiet --no-deps icon-registration==1.1.9 digital-diffeomorphism==1.1.1
