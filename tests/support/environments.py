"""What the conda environments hold, and what their scripts import."""

import re
from importlib import metadata

import yaml

from tests.support import ROOT
from tests.support.imports import requirements

ENVIRONMENT_FILES = sorted((ROOT / "envs").glob("*.yaml"))
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "snakemake-minimal": "snakemake"}
NOT_ON_PYPI = ("python", "pip", "fsl-flirt", "fsl-avwutils", "fsl-bet2")


def locked():
    """Versions for Python 3.11 by normalised name."""
    found = {}
    for file in ("requirements.lock", "requirements-nodeps.lock"):
        for line in (ROOT / file).read_text().splitlines():
            match = re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)(?: ; (.*))?$", line)
            if match and ">= '3.12'" not in (match[3] or ""):
                found[match[1].lower().replace("_", "-")] = match[2]
    return found


def listed(path):
    """Name on PyPI and version ("" for any) of each entry of an environment, those for pip too."""
    for entry in yaml.safe_load(path.read_text())["dependencies"]:
        for one in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = one.replace("==", "=").partition("=")
            yield PYPI_NAMES.get(name, name), version


# what a rule runs where: the functions that choose an environment are checked for each of their answers
ENVIRONMENTS = {
    "render_phantom": ["torch"], "render_label_map": ["analysis"], "write_cohort": ["analysis"],
    "fetch_archive": ["analysis"], "extract_scan": ["analysis"], "extract_brain": ["deepbet", "fsl", "analysis"],
    "correct_bias": ["ants"], "segment_subject": ["analysis"], "preprocess_subject": ["analysis"],
    "assess_quality": ["analysis"], "write_quality_page": ["analysis"], "align_subject": ["fsl", "ants"],
    "align_pairs": ["fsl", "ants"], "train_stage": ["torch"], "register_shard": ["torch", "ants", "icon"],
    "register_shown": ["torch", "ants", "icon"],
    "change_subject": ["analysis"], "align_changed": ["fsl", "ants"], "register_changed": ["torch", "ants", "icon"],
    "gather_changed": ["analysis"], "choose_changed": ["analysis"],
    "register_changed_shown": ["torch", "ants", "icon"],
    "start_template": ["torch"], "bring_template": ["torch"], "average_template": ["torch"],
    "choose_pairs": ["torch"], "fetch_weights": ["analysis"], "make_program": ["analysis"],
    "gather_metrics": ["analysis"], "write_table": ["analysis"],
    "plot_figure": ["analysis"], "write_page": ["analysis"], "write_audit": ["torch"], "show_arena": ["analysis"],
}  # fmt: skip

# Of what a script may import in a function, and does not in this environment: a config that needs it brings its job to
# another one, or another library does it more slowly. `make test-conda` looks that it is not there.
ELSEWHERE = {
    "analysis": {"isal", "torch", "deepbet", "ants", "digital_diffeomorphism", "h5py", "icon_registration", "pywt"},
    "ants": {"isal", "fsl", "h5py", "icon_registration"},
    "deepbet": {"isal"},
    "fsl": {"isal", "ants", "torch", "deepbet"},
    "icon": {"isal", "ants", "fsl", "h5py"},
    "torch": {"isal", "ants", "fsl", "icon_registration"},
    "snakemake": {
        "isal",
        "digital_diffeomorphism",
        "ants",
        "fsl",
        "nibabel",
        "scipy",
        "torch",
        "pywt",
        "h5py",
        "icon_registration",
        "matplotlib",
        "seaborn",
    },
}

# What no script imports by its name, and who needs it
UNNAMED = {
    "analysis": {"itables": "its JavaScript is in the page", "nilearn": "its JavaScript is in the page"},
    "ants": dict.fromkeys(
        ("matplotlib", "pillow", "requests", "scikit-learn", "statsmodels"),
        "antspyx, without dependencies",
    ),
    "deepbet": dict.fromkeys(
        ("tqdm", "connected-components-3d", "fastremap", "fill-voids"), "deepbet, without dependencies"
    ),
    "icon": dict.fromkeys(("matplotlib", "tqdm"), "icon-registration, without dependencies"),
    "torch": {"tensorboard": "torch.utils.tensorboard"},
    "snakemake": {"pygments": "snakemake --report"},
}


def brought(path):
    """Names on PyPI of all that an environment lists, by conda or by pip; FSL's programs and Python itself are none."""
    found = {name for name, _ in listed(path) if name not in NOT_ON_PYPI}
    pip = path.with_suffix(".post-deploy.sh")
    return found | set(re.findall(r"([a-z0-9-]+)==", pip.read_text()) if pip.is_file() else ())


def scripts_of(environment):
    """The files that run in an environment."""
    if environment == "snakemake":
        return [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]
    return [ROOT / f"workflow/scripts/{name}.py" for name, names in ENVIRONMENTS.items() if environment in names]


def imports_in(environment):
    """Modules that have to be in an environment: when its scripts start, and later."""
    needed, later = (set().union(*sets) for sets in zip(*map(requirements, scripts_of(environment))))
    return needed, {name for name in later - needed if name.split(".")[0] not in ELSEWHERE[environment]}


def projects_of(names):
    """For each module, the projects on PyPI that may bring it."""
    known = metadata.packages_distributions()
    return {name: {project.lower().replace("_", "-") for project in known[name.split(".")[0]]} for name in names}


def problems(environment, path):
    """What an environment lacks for its scripts, and what it has that none of them imports."""
    has = brought(path)
    found = projects_of(set().union(*imports_in(environment)))
    lacks = {name for name, projects in found.items() if not projects & has}
    return lacks, has - set().union(*found.values()) - UNNAMED.get(environment, {}).keys()
