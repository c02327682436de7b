#!/bin/sh
# Installs this folder into /opt/venv, for Dockerfile and apptainer.def: as root, in Debian 12.
#   install.sh [ARGUMENTS of pip for torch, such as --index-url with an index of builds without a GPU]
set -eu
cd "$(dirname "$0")/.."
apt-get update -qq
apt-get install --yes -qq --no-install-recommends python3 python3-venv
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/venv
pip() {
	/opt/venv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --use-pep517 "$@"
}
pip "$@" "$(grep '^torch==' requirements.lock)"
# what the tests and the documentation need is in the lock file too: it constrains, and the extras choose
pip --constraint requirements.lock --editable '.[workflow,skull-strip]'
pip --no-deps --requirement requirements-nodeps.lock
/opt/venv/bin/python -m compileall -q smgicnet
chmod -R a+rX . # a checkout can be readable to its owner alone
