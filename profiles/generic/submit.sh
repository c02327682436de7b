#!/usr/bin/env bash
# submit.sh THREADS MEGABYTES MINUTES GPUS SCRIPT: submits a job to SGE and prints its number.
set -euo pipefail
threads=$1 megabytes=$2 minutes=$3 gpus=$4 script=$5
environment=smp # yours: a parallel environment on one host (qconf -spl)
needs=(-l "h_rt=$((minutes * 60))" -l "h_vmem=$((megabytes / threads + 1))M")
[ "$gpus" = 0 ] || needs+=(-l "gpu=$gpus") # yours: what a GPU is called
mkdir -p .snakemake/cluster
exec qsub -terse -V -cwd -S /bin/bash -r y -j y -o .snakemake/cluster -pe "$environment" "$threads" "${needs[@]}" "$script"
