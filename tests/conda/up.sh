#!/usr/bin/env bash
# A real conda in a folder, out of PyPI alone, and the local channels of make_channel.py for it.
#   up.sh FOLDER PYTHON       PYTHON is of the version that envs/*.yaml name
#
# conda itself is not on PyPI, but conda-lock 4.0.3 carries conda 24.7.1 (the oldest that Snakemake 9 takes) whole, less
# its shell scripts: here it gets its own name back. Its solver is the classic one. A second call makes only what has
# changed; the channels and what conda has unpacked are kept.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
FOLDER=$(realpath -m "$1")
PYTHON=$2
CONDA=$FOLDER/conda

if [ ! -e "$CONDA/.ready" ] || [ "$HERE/up.sh" -nt "$CONDA/.ready" ]; then
  rm -rf "$CONDA"
  "$PYTHON" -m venv "$CONDA"
  install() { "$CONDA/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
  install --no-deps --target "$CONDA/stage" conda-lock==4.0.3
  install archspec==0.2.6 boltons charset-normalizer conda-index==0.13.0 conda-package-handling==2.6.0 distro jsonpatch \
    packaging platformdirs pluggy pycosat pyyaml requests 'ruamel.yaml<0.20' 'setuptools<81' tqdm truststore zstandard
  SITE=$("$CONDA/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  mv "$CONDA/stage/conda_lock/_vendor/conda" "$SITE/conda"
  rm -r "$CONDA/stage"
  grep -rl 'conda_lock\._vendor\.conda' "$SITE/conda" --include='*.py' |
    xargs sed -i 's/conda_lock\._vendor\.conda/conda/g'
  # the guard: conda looks for CUDA in a process that imports this file again
  cat >"$CONDA/bin/conda" <<END
#!$CONDA/bin/python
import sys
from conda.cli import main
if __name__ == "__main__":
    sys.exit(main())
END
  chmod +x "$CONDA/bin/conda"
  # what Snakemake sources: conda's own activation
  echo "eval \"\$(\"$CONDA/bin/conda\" shell.posix activate \"\$1\")\"" >"$CONDA/bin/activate"
  mkdir -p "$CONDA/conda-meta"
  touch "$CONDA/conda-meta/history" # by which conda knows its own folder
  # Bare names of channels are folders of the alias, and FSL's address is migrated to it: the environments stay as they are
  cat >"$CONDA/.condarc" <<END
solver: classic
channel_priority: strict
channel_alias: file://$FOLDER/channels
migrated_channel_aliases: [https://fsl.fmrib.ox.ac.uk/fsldownloads/fslconda]
channels: [conda-forge]
default_channels: [file://$FOLDER/channels/conda-forge]
repodata_fns: [repodata.json]
number_channel_notices: 0
auto_update_conda: false
notify_outdated_conda: false
register_envs: false
pkgs_dirs: [$FOLDER/packages]
END
  touch "$CONDA/.ready"
fi
"$CONDA/bin/python" "$HERE/make_channel.py" "$FOLDER/channels" "$PYTHON"
