#!/bin/sh
# Builds the image `smgicnet`: `make container`.
#   build.sh [ARGUMENTS of the build command of docker, podman or buildah]
set -eu
cd "$(dirname "$0")/.."
. containers/engine.sh
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' smgicnet/__init__.py)
set -- --build-arg "TORCH_ARGS=${TORCH_ARGS:-}" --tag smgicnet --tag "smgicnet:$version" "$@"
"$engine" build "$@" .
echo "$engine has built smgicnet:$version."
