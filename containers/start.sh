#!/bin/sh
# Runs a command as any user: Snakemake and matplotlib keep caches at home, and PyTorch wants a user's name.
set -eu
if ! [ -d "${HOME:-}" ] || ! [ -w "${HOME:-}" ]; then
	HOME=$(mktemp -d)
	export HOME
fi
export LOGNAME="${LOGNAME:-user}"
exec "$@"
