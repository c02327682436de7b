"""The default config again with other numbers of cores and jobs: `make test-reproducible`.

Every run has to end in the images, fields, weights and metrics of the first one, times and memory apart.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.support import ROOT
from tests.support.compare import differences

PROFILE = str(ROOT / "profiles/default")
RUNS = {
    "2 cores": ["--cores", "2", "--workflow-profile", PROFILE],
    "1 core, so 1 job at a time": ["--cores", "1", "--workflow-profile", PROFILE],
    # on however many cores there are
    "8 jobs or 4 trainings at a time": ["--cores", "8", "--workflow-profile", "none", "--resources", "gpu=4"],
}


def main(folder: Path, configfile: Path) -> int:
    first, failed, rows = None, 0, ["| run | images, fields, weights and metrics | min |", "|---|---|---|"]
    for number, (name, arguments) in enumerate(RUNS.items()):
        run = folder / f"run-{number}"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]
        begun = time.monotonic()
        with open(run / "log", "w") as log:
            print(f"{name}: {run / 'log'}", flush=True)
            subprocess.run([*command, "--configfile", str(configfile)], cwd=run, stdout=log, stderr=log, check=True)
        first = first or run
        other = differences(run, first)
        failed += bool(other)
        same = "the first" if run == first else "the same" if not other else f"other: {', '.join(other)}"
        rows.append(f"| {name} | {same} | {(time.monotonic() - begun) / 60:.1f} |")
        print(rows[-1], flush=True)
    print("\n" + "\n".join(rows) + f"\n\n{failed} of {len(RUNS)} runs differ from the first; results in {folder}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
