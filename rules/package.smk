# Where the package comes from: this checkout, or, for a workflow that is fetched from a repository, what is installed.
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

HERE = workflow.current_basedir  # of this file: as a module, another place than the outer Snakefile's
CHECKOUT = Path(HERE).parent if isinstance(HERE, os.PathLike) else None  # none, if it is fetched from a repository
WITH_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
WITH_IMAGE = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
AS_MODULE = not workflow.modifier.is_main_snakefile()


def moves_paths(modifier):
    """Whether a module statement, or one around it, has files stand elsewhere than rules say."""
    return modifier and (modifier.prefix or modifier.modifies_prefixes or moves_paths(modifier.inner_modifier))


if AS_MODULE and moves_paths(workflow.modifier.path_modifier):
    raise WorkflowError(
        "A module statement's prefix and replace_prefix move the files of rules alone, and not those that tables and "
        "records of this workflow name. Remove them, and give the place of the results by --directory or workdir"
    )
if AS_MODULE and not config:
    raise WorkflowError(
        "The module statement gives no config, and what the command line says is for the outer Snakefile. "
        "Add `config: config` to it"
    )


def first_on_the_path(folder):
    """Take packages from this folder first: here, and in the jobs, where Snakemake puts its own paths last."""
    sys.path.insert(0, folder)
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [folder, os.getenv("PYTHONPATH")])))


def repository_file(path):
    """A file of the repository of this workflow, by its path there; fetched, where there is no checkout."""
    return str(CHECKOUT / path) if CHECKOUT else workflow.source_path(f"../{path}")


def require_installed():
    """Refuse a package that is missing or of another version: without a checkout it has to be installed."""
    if hasattr(HERE, "host"):
        place = f"https://{HERE.host}/{HERE.repo}@{HERE.ref}"
    else:
        place = f"file://{Path(HERE.repo_path).absolute()}@{HERE.ref}" if hasattr(HERE, "repo_path") else "REPOSITORY"
    remedy = f'Install it: pip install "smgicnet[workflow] @ git+{place}"'
    try:
        import smgicnet
    except ImportError:
        raise WorkflowError(
            f"The workflow is fetched from {HERE}, and the package smgicnet is not installed beside Snakemake. {remedy}"
        ) from None
    wanted = re.search(r'__version__ = "(.+)"', Path(workflow.source_path("../smgicnet/__init__.py")).read_text())[1]
    if smgicnet.__version__ != wanted:
        raise WorkflowError(
            f"The workflow is fetched from {HERE}, which is version {wanted}; the package smgicnet that is installed "
            f"is version {smgicnet.__version__}. {remedy}"
        )
    return Path(smgicnet.__file__).parent


def link_for_conda(package):
    """A folder with the installed package and no other, which the jobs' own environments cannot have."""
    link = Path(".snakemake/smgicnet").absolute() / package.name
    if not link.exists() or not link.samefile(package):
        link.parent.mkdir(parents=True, exist_ok=True)
        part = link.with_name(f"part-{os.getpid()}")
        part.symlink_to(package)
        part.replace(link)
    return str(link.parent)


if CHECKOUT:
    first_on_the_path(str(CHECKOUT))  # the package of this checkout, whatever is installed
else:
    installed = require_installed()
    if WITH_CONDA:
        first_on_the_path(link_for_conda(installed))


def the_image():
    """The container's image, as Snakemake takes it: an address, or a file, which has to be there."""
    if WITH_CONDA:
        raise WorkflowError("The image of --sdm apptainer has no conda. Name one of the two alone")
    image = str(config.get("image", "smgicnet.sif"))
    if "://" in image:
        return image
    if not Path(image).exists():  # a folder, too: apptainer knows images as files and as folders
        raise WorkflowError(
            f"{image}: the image for --sdm apptainer is not there. Build it (docs/containers.md), or name another file "
            "or an address by --config image=..."
        )
    return str(Path(image).absolute())


if WITH_IMAGE:

    container: the_image()

    outside = CHECKOUT and not CHECKOUT.is_relative_to(Path.cwd())  # apptainer binds the working folder by itself
    if outside and (bound := f"--bind {CHECKOUT}") not in workflow.deployment_settings.apptainer_args:
        workflow.deployment_settings.apptainer_args += f" {bound}"
