# One study from the config, and what rules say in the same words. No rules.
from functools import cache
from time import time

from snakemake.logging import logger

from smgicnet.config.blocks import stage_block
from smgicnet.config.origin import Origin, given_to
from smgicnet.core.code import code_digest, source_files
from smgicnet.core.errors import InputError
from smgicnet.core.files import PACKAGE
from smgicnet.core.layout import (
    ARENA,
    AUDIT,
    BENCHMARK,
    CHANGED_SHOWN,
    METRICS,
    METRICS_RECORD,
    PREPARED,
    PROGRAM_RECORD,
    ROBUSTNESS,
    SHARD_METRICS,
    SHARD_RECORD,
    TABLE_FORMS,
    TEMPLATE,
    TEMPLATE_RECORD,
    DatasetPaths,
    arena_page,
    program_environment,
)
from smgicnet.core.process import keep_waiting_short
from smgicnet.jobs.changed_heads import ChangedHeads
from smgicnet.jobs.code import robustness_code, scoring_codes, training_code
from smgicnet.jobs.needs import PAGE_KB, SCAN_KB, STAGE_KB, StudyNeeds
from smgicnet.jobs.paper import beside_paper
from smgicnet.jobs.starting import open_study, pages_since, start, what_was_decided
from smgicnet.jobs.study_files import StudyFiles
from smgicnet.preparation.label_protocols import label_file

STARTED = time()


def origin():
    """Where the config is from, for messages: its files, and what the command line or the profile says beside them."""
    given = given_to(config, workflow.config_settings.config)
    # a profile's `config` reaches Snakemake as if it were the option
    said = any(word.startswith(f"{key}=") for key in workflow.config_settings.config for word in sys.argv)
    files = ", ".join(map(str, workflow.configfiles)) or "config"
    return Origin(files, given, "--config" if said else "config of the profile")


if any(name.endswith("train_level") for name in workflow.resource_settings.overwrite_resources):
    raise WorkflowError("The profile sets resources of train_level, a rule that is called train_stage now. Rename it")

keep_waiting_short()
try:
    study = open_study(config, origin(), conda=WITH_CONDA, in_job=not workflow.is_main_process, image=WITH_IMAGE)
except InputError as error:
    raise WorkflowError(str(error)) from None

files, needs = StudyFiles(study), StudyNeeds(StudyFiles(study))
changed = ChangedHeads(files, needs)
paths = DatasetPaths.of("{dataset}")
arena_paths = DatasetPaths.of(ARENA)
run = paths.run("{arm}", "{method}", "{seed}")


def names(values):
    """A wildcard constraint: exactly these names, or nothing if there are none."""
    return "|".join(values) if values else "(?!)"


def environment(name):
    """The file of a conda environment, as seen from the rules."""
    return f"../envs/{name}.yaml"


SCRIPTS = {
    name: Path(repository_file(f"workflow/scripts/{name}.py"))
    for name in ("align_subject", "change_subject", "preprocess_subject")
}


def code(name):
    """Digest of what a script imports: a parameter of its rule."""
    return code_digest(Path(repository_file(f"workflow/scripts/{name}.py")))


@cache
def code_with_labels(name, dataset):
    """`code` of a script that reads label maps, with the table of the dataset's label protocol."""
    protocol = label_file(study.datasets[dataset]["preprocessing"]["labels"]).absolute()
    return code_digest(SCRIPTS[name], files=[protocol])


def table(name):
    """The files of a table: Markdown, which stands in Snakemake's report, CSV, LaTeX, and what it was made from."""
    forms = {form: paths.table(name, form) for form in TABLE_FORMS}
    labels = {"dataset": "{dataset}", "what": name}
    said = report(forms["md"], caption=f"../workflow/report/{name}.rst", category="Tables", labels=labels)
    return {**forms, "md": said}


def has_paper_rows(w):
    """Return whether the tables of a job's dataset have rows of what the paper prints."""
    return beside_paper(study, w.dataset)


def for_datasets(pattern, wanted=True, **wildcards):
    """What a target asks for of every dataset, or nothing unless it is wanted."""
    return expand(pattern, dataset=study.datasets, **wildcards) if wanted else []


wildcard_constraints:
    dataset=names(study.datasets),
    arm="raw|affine",
    method=names(study.methods),
    seed=r"\d+",
    stage=r"\d+",
    shard=r"\d+",
    round=r"\d+",
    subject=r"[A-Za-z0-9_-]+",


def begin(*, say):
    """Write down what was decided, and say it."""
    start(study)
    for sentence in what_was_decided(study, image=WITH_IMAGE) if say else ():
        logger.info(sentence)


onstart:
    begin(say=True)


onsuccess:
    for page in pages_since(study, STARTED):
        logger.info(f"Open {page}")


def also_as_module(earlier):
    """A handler after the outer Snakefile's: of a module Snakemake runs none. A module is read once a `use rule`."""

    def handler(log):
        earlier(log)
        begin(say=not hasattr(earlier, "of_module"))

    handler.of_module = True
    return handler


if AS_MODULE:
    workflow._onstart = also_as_module(workflow._onstart)
