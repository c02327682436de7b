# Config validation, what it means for the DAG, and helpers. No rules.
import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

HERE = workflow.current_basedir  # of this file: as a module, another place than the outer Snakefile's
CHECKOUT = Path(HERE).parent if isinstance(HERE, os.PathLike) else None  # none, if it is fetched from a repository
WITH_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
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

from smgicnet.preparation.affine import choose_engine
from smgicnet.cohort.participants import SPLITS, shards, unordered_pairs
from smgicnet.config.blocks import learns_from_labels, registering_block, stage_block
from smgicnet.config.completion import complete
from smgicnet.config.origin import Origin, given_to
from smgicnet.config.schemas import schema
from smgicnet.jobs.costs import ALIGNMENT, Layout, memory_mb, of_method, pair_seconds, read_costs, runtime_minutes
from smgicnet.core.errors import InputError
from smgicnet.imaging.headers import header_form
from smgicnet.core.code import registering_code, training_code
from smgicnet.preparation.label_protocols import LABEL_TABLE, label_file
from smgicnet.core.provenance import PACKAGE, source_digest
from smgicnet.cohort.sources import plan_cohort, recipe, require_training_labels, tools_to_come
from smgicnet.preparation.tools import require_tools


def origin(config):
    """Where the config is from, for messages: its files, and what the command line or the profile says beside them."""
    given = given_to(config, workflow.config_settings.config)
    # a profile's `config` reaches Snakemake as if it were the option
    said = any(word.startswith(f"{key}=") for key in workflow.config_settings.config for word in sys.argv)
    files = ", ".join(map(str, workflow.configfiles)) or "config"
    return Origin(files, given, "--config" if said else "config of the profile")


def job_minutes(value):
    """The wished length of a job that registers pairs, which a profile gives."""
    try:
        minutes = float(value)
    except (TypeError, ValueError):
        minutes = 0
    if not 0 < minutes < float("inf"):
        problem = f"job_minutes is {value!r}"
        raise InputError(ORIGIN.of([("job_minutes",)]), problem, "Give a number of minutes above 0")
    return minutes


try:
    ORIGIN = origin(config)
    JOB_MINUTES = job_minutes(config.get("job_minutes", 20))
    # not taken out of what is given: a module is read once a `use rule`, each time with the same config
    CONFIG = complete({key: value for key, value in config.items() if key != "job_minutes"}, ORIGIN)
    COHORTS = {name: plan_cohort(dataset, f"results/{name}/cohort") for name, dataset in CONFIG["datasets"].items()}
    DATASETS = CONFIG["datasets"]
    FULL_MODEL, VARIANTS = CONFIG["ablations"]["method"], CONFIG["ablations"]["variants"]
    METHODS = {**CONFIG["methods"], **{name: variant["method"] for name, variant in VARIANTS.items()}}
    TRAINED = [name for name, method in METHODS.items() if method["stages"] and not method["weights"]]
    LABELLED = [name for name in TRAINED if learns_from_labels(METHODS[name])]
    require_training_labels(COHORTS, DATASETS, LABELLED)
    PUBLISHED = {name: block["published"] for name, block in CONFIG["methods"].items() if "published" in block}
    # decided once, like the engine below: weights that arrive while others run change nothing in this run
    missing = ",".join(name for name, weights in PUBLISHED.items() if not Path(weights["file"]).is_file())
    ABSENT = [
        name for name in os.environ.setdefault("SMGICNET_ABSENT_WEIGHTS", missing).split(",") if name in PUBLISHED
    ]
    RUNS = [(name, arm) for name, method in CONFIG["methods"].items() if name not in ABSENT for arm in method["arms"]]
    ENGINE, ENGINE_REASON = os.environ.get("SMGICNET_AFFINE_ENGINE", ""), ""
    lacking = []  # tools that are missing: said together
    if not ENGINE and any(arm == "affine" for _, arm in RUNS):
        try:
            ENGINE, ENGINE_REASON = choose_engine(CONFIG["affine"]["engine"], conda=WITH_CONDA)
        except InputError as error:
            lacking.append(str(error))
    try:
        require_tools(tools_to_come(CONFIG["datasets"], COHORTS), conda=WITH_CONDA)
    except InputError as error:
        lacking.append(str(error))
    if lacking:
        raise WorkflowError("\n".join(lacking))
    os.environ["SMGICNET_UNCHECKED_TOOLS"] = "1"  # a job need not look again, nor on another node
    # decided once: a job on a node with other software is told, and does not choose again
    os.environ["SMGICNET_AFFINE_ENGINE"] = ENGINE
    MEASURED = read_costs()
    LAYOUTS = {
        name: Layout(f"results/{name}/cohort/shards.json", CONFIG["evaluation"]["shard_size"]) for name in DATASETS
    }
except InputError as error:
    raise WorkflowError(str(error)) from None

REGISTERING = [run for run in RUNS if METHODS[run[0]]["type"] != "initial"]
REFERENCE = (CONFIG["evaluation"]["reference"]["method"], CONFIG["evaluation"]["reference"]["arm"])
NETWORKS = [name for name in METHODS if METHODS[name]["stages"] or name in PUBLISHED]  # a GPU is of use to them
OTHERS = [name for name in METHODS if name not in NETWORKS]
TRAINED_RUNS = [run for run in RUNS if run[0] in TRAINED]
AFFINE = {**CONFIG["affine"], "engine": ENGINE}


def subjects(dataset, *splits):
    """Names of a dataset's subjects in these splits."""
    table = COHORTS[dataset]
    return table.index[table["split"].isin(splits)].tolist()


PAIRS = {dataset: unordered_pairs(subjects(dataset, "test")) for dataset in DATASETS}


def seconds_a_pair(dataset, name):
    """Of a method, or of ``affine`` for the alignment; a variant is taken for as fast as what it varies."""
    name = FULL_MODEL if name in VARIANTS else name
    cost = ALIGNMENT if name == "affine" else of_method(METHODS[name])
    return pair_seconds(name, cost, dataset, DATASETS[dataset]["grid"], MEASURED)


@cache
def shards_of(dataset, name):
    """The test pairs of each job of a method, or of ``affine``."""
    size = LAYOUTS[dataset].pairs(name, seconds_a_pair(dataset, name), JOB_MINUTES)
    return shards(subjects(dataset, "test"), size)


def shard_pairs(wildcards):
    """The pairs of the job that the wildcards name."""
    return shards_of(wildcards.dataset, getattr(wildcards, "method", "affine"))[int(wildcards.shard)]


@cache
def aligned_in(dataset):
    """The job of the alignments that holds each test pair."""
    return {pair: number for number, pairs in enumerate(shards_of(dataset, "affine")) for pair in pairs}


def registering_needs(wildcards, attempt):
    """Memory (MB) and time (minutes) to ask for, to register a job's pairs, or those that figures show."""
    name = getattr(wildcards, "method", "affine")
    cost = ALIGNMENT if name == "affine" else of_method(METHODS[name])
    pairs = len(shard_pairs(wildcards)) if hasattr(wildcards, "shard") else len(CONFIG["evaluation"]["figure_pairs"])
    seconds = pairs * seconds_a_pair(wildcards.dataset, name)
    memory = memory_mb(cost["pair_memory"], DATASETS[wildcards.dataset]["grid"], attempt)
    return memory, runtime_minutes(seconds, attempt)


def training_memory(wildcards, attempt):
    """Memory (MB) to ask for, to train a method; the time is for a profile to say: a training that is cut goes on."""
    return memory_mb(
        of_method(METHODS[wildcards.method])["training_memory"], DATASETS[wildcards.dataset]["grid"], attempt
    )


def cohort_memory(wildcards, attempt):
    """Memory (MB) to ask for, where all images of a dataset are gone through, with 20 bytes a voxel of each."""
    return memory_mb(20 * len(COHORTS[wildcards.dataset]), DATASETS[wildcards.dataset]["grid"], attempt)


def torch_threads(wildcards):
    """Threads of a job that trains or registers. As `threads` they are cut to --cores; as a resource they are not, and
    share the cores then: sums differ in their last digits with the number of threads, and results should not with that
    of cores."""
    return METHODS[wildcards.method].get("threads", 2)


def names(values):
    """A wildcard constraint: exactly these names, or nothing if there are none."""
    return "|".join(values) if values else "(?!)"


def of_kind(kind):
    """Datasets whose source is of this kind."""
    return [name for name, dataset in DATASETS.items() if dataset["source"]["kind"] == kind]


def untitled(method):
    """A method's block without what changes no result: its name in tables, its arms, where its weights come from."""
    block = registering_block(METHODS[method])
    return block | {"published": {"sha256": PUBLISHED[method]["sha256"]}} if method in PUBLISHED else block


@cache
def trained_as(method, level):
    """The first method whose training as far as this level is the same: what variants share is trained once."""
    block = stage_block(METHODS[method], level)
    return next(
        name for name in TRAINED if len(METHODS[name]["stages"]) >= level and stage_block(METHODS[name], level) == block
    )


def label(run):
    """The name of a method in an arm, in tables and figures."""
    method, arm = run
    return METHODS[method]["label"] + (" w.affine" if arm == "affine" else "")


def seeds(method):
    """Seeds of a method: the config's for one that is trained, else a single 0."""
    return CONFIG["seeds"] if method in TRAINED else [0]


def archive(dataset):
    """The source of a dataset from a published archive."""
    return DATASETS[dataset]["source"]


def preparation(dataset):
    """What is done to a dataset's scans before the common grid."""
    return DATASETS[dataset]["preprocessing"]


def scan_files(wildcards):
    """A subject's image as the cohort has it, and its mask where one is asked for."""
    row = COHORTS[wildcards.dataset].loc[wildcards.subject]
    kinds = ["image", "mask"] if preparation(wildcards.dataset)["skull_strip"] == "mask" else ["image"]
    return {kind: row[kind] for kind in kinds}


def stripped_files(wildcards):
    """A subject's skull-stripped image, and its mask if it was made."""
    if preparation(wildcards.dataset)["skull_strip"] == "none":
        return scan_files(wildcards)
    steps = f"results/{wildcards.dataset}/steps/{wildcards.subject}"
    return {"image": f"{steps}/brain.nii.gz", "mask": f"{steps}/mask.nii.gz"}


def source_files(wildcards):
    """What a subject is prepared from: its image after the last step, its label map, a histogram to match."""
    options = preparation(wildcards.dataset)
    steps = f"results/{wildcards.dataset}/steps/{wildcards.subject}"
    files = {
        "image": stripped_files(wildcards)["image"] if options["bias_field"] == "none" else f"{steps}/corrected.nii.gz",
        "labels": COHORTS[wildcards.dataset].at[wildcards.subject, "labels"],
        "histogram": options["histogram_reference"],
    }
    if options["segmentation"] != "given":
        files["labels"] = f"{steps}/labels.nii.gz"
    return {key: path for key, path in files.items() if path}


STEP_RECORDS = {
    "skull_strip": ("none", "brain"),
    "bias_field": ("none", "bias"),
    "segmentation": ("given", "segmentation"),
}


def step_records(wildcards):
    """What each step that is done says of itself."""
    options = preparation(wildcards.dataset)
    done = [record for key, (off, record) in STEP_RECORDS.items() if options[key] != off]
    return [f"results/{wildcards.dataset}/steps/{wildcards.subject}/{record}.json" for record in done]


def tool_environment(tool):
    """The conda environment of a tool of the skull strip; FreeSurfer's is the user's own."""
    return f"../envs/{ {'auto': 'deepbet', 'deepbet': 'deepbet', 'bet': 'fsl'}.get(tool, 'analysis')}.yaml"


def preparing_code(dataset):
    """Digest of what prepares a dataset's subjects: the package's files and the table of its labels."""
    return source_digest(
        "preprocessing.py",
        "foreground.py",
        "label_protocols.py",
        "images.py",
        "headers.py",
        "affine_geometry.py",
        label_file(preparation(dataset)["labels"]).absolute(),
    )


def exclusion(wildcards):
    """The list of subjects that are left out, where the config says so."""
    excludes = DATASETS[wildcards.dataset]["quality"]["exclude"]
    return [f"results/{wildcards.dataset}/raw/excluded.txt"] if excludes else []


PREPARED = {"image": "image.nii", "labels": "labels.nii", "preprocessing": "preprocessing.json"}


def prepared(dataset, arm, chosen, *kinds):
    """Preprocessed files of the chosen subjects; ``kinds`` among the keys of `PREPARED`."""
    return [f"results/{dataset}/{arm}/subjects/{name}/{PREPARED[kind]}" for kind in kinds for name in chosen]


def truth_files(dataset, chosen):
    """The true transforms of subjects, where the cohort has them: both directions of each."""
    table = COHORTS[dataset]
    if "to_template" not in table:
        return []
    return [table.at[name, column] for column in ("to_template", "from_template") for name in chosen]


def stage_weights(wildcards, stage):
    """Weights of a stage of the training that the wildcards name."""
    files = stage_files(wildcards.dataset, (wildcards.method, wildcards.arm), "weights.pt", wildcards.seed)
    return files[stage - 1]


def final_weights(wildcards):
    """Weights of the last stage, or those that the config names; nothing for a method that is not learned."""
    method = METHODS[wildcards.method]
    if method["weights"] or "published" in method:
        return [method["weights"] or method["published"]["file"]]
    return [stage_weights(wildcards, len(method["stages"]))] if method["stages"] else []


def alignments(wildcards, name):
    """A file of the alignments of a job's pairs, or of all pairs, in the affine arm."""
    if wildcards.arm != "affine":
        return []
    where = aligned_in(wildcards.dataset)
    pairs = shard_pairs(wildcards) if hasattr(wildcards, "shard") else where
    chosen = sorted({where[pair] for pair in pairs})
    return [f"results/{wildcards.dataset}/affine/alignments/{shard}/{name}" for shard in chosen]


def environment(method):
    """The conda environment in which a method registers, by its schema."""
    kind = METHODS[method]["type"]
    return f"../envs/{schema(f'methods/{kind}').get('environment', 'torch')}.yaml"


def shard_subjects(wildcards):
    """Names of the subjects in a shard's pairs."""
    return sorted({name for pair in shard_pairs(wildcards) for name in pair})


def shard_files(wildcards, name):
    """A file of every shard of a method."""
    folder = f"results/{wildcards.dataset}/{wildcards.arm}/{wildcards.method}/seed-{wildcards.seed}/shards"
    return [f"{folder}/{shard}/{name}" for shard in range(len(shards_of(wildcards.dataset, wildcards.method)))]


def method_files(dataset, name, runs=RUNS):
    """A file of every method, arm and seed of a dataset."""
    return [f"results/{dataset}/{arm}/{method}/seed-{seed}/{name}" for method, arm in runs for seed in seeds(method)]


def shown_file(dataset, run, name):
    """A file of a method in an arm, of its first seed: of the pairs that figures show."""
    return f"results/{dataset}/{run[1]}/{run[0]}/seed-{seeds(run[0])[0]}/{name}"


def stage_files(dataset, run, name, seed=None):
    """A file of each stage of a run's training, wherever it was trained."""
    method, arm = run
    seed = seeds(method)[0] if seed is None else seed
    return [
        f"results/{dataset}/{arm}/{trained_as(method, level)}/seed-{seed}/level-{level}/{name}"
        for level in range(1, len(METHODS[method]["stages"]) + 1)
    ]


def page_tables(dataset):
    """The tables of the page: those of the default target, and the ablations if they have been run."""
    wanted = ["table1", *["table2", "comparisons"] * bool(COMPARED), *["table3"] * bool(PUBLISHED_RUNS)]
    folder = f"results/{dataset}/tables"
    wanted += ["ablations"] * Path(folder, "ablations.md").is_file()
    return [f"{folder}/{name}.{form}" for name in wanted for form in TABLE_FORMS.values()]


def page_figures(dataset):
    """The figures of the page, in its order."""
    folder = f"results/{dataset}/figures"
    wanted = ["methods", *["published"] * bool(set(PUBLISHED) - set(ABSENT)), "reciprocal", "registrations", "dice"]
    wanted += [*["robustness"] * bool(INITIAL), "time", *["comparisons"] * bool(COMPARED)]
    wanted += ["ablations"] * Path(folder, "ablations.png").is_file()
    wanted += [f"training-{arm}-{method}" for method, arm in TRAINED_RUNS]
    return [f"{folder}/{name}.png" for name in wanted]


FIGURE_TITLES = {
    "methods": "Methods side by side (Figure 2)",
    "published": "With their authors' weights (Figure 5)",
    "reciprocal": "Both directions of a pair (Figure 3a)",
    "registrations": "The reference method",
    "dice": "Dice by region",
    "robustness": "Dice before and after: who fails where",
    "time": "Time and accuracy",
    "comparisons": "Differences by region",
    "ablations": "Ablations (Figure 3b)",
}


def figure_title(path):
    """What a figure is called on the page."""
    name = Path(path).stem
    run = next((run for run in TRAINED_RUNS if name == f"training-{run[1]}-{run[0]}"), None)
    return f"Training of {label(run)}" if run else FIGURE_TITLES[name]


def page_caption(path):
    """The caption of a figure, which it has in Snakemake's report too."""
    name = "training" if Path(path).stem.startswith("training-") else Path(path).stem
    return repository_file(f"workflow/report/{'methods' if name == 'published' else name}.rst")


def recorded_config(dataset):
    """The config as a dataset's results depend on it."""
    return {**CONFIG, "datasets": {dataset: DATASETS[dataset]}}


LABELS = {f"{method}/{arm}": label((method, arm)) for method, arm in RUNS}
COMPARED = [run for run in RUNS if run != REFERENCE] if REFERENCE in RUNS else []
VIEWED = sorted(REGISTERING, key=lambda run: run != REFERENCE)  # the reference, or else another, is what one sees first
INITIAL = [run for run in RUNS if METHODS[run[0]]["type"] == "initial" and run[1] == "raw"][:1]
PUBLISHED_RUNS = [(method, arm) for method in PUBLISHED for arm in METHODS[method]["arms"]]
TABLE1_RUNS = [run for run in RUNS if run[0] not in PUBLISHED]
TABLE3_ROWS = [*PUBLISHED_RUNS, *[run for run in RUNS if run == REFERENCE]]
TABLE3_RUNS = [run for run in TABLE3_ROWS if run in RUNS]
FIGURE_CODE = ["plotting.py", "page.py"]
PAGE_CODE = [f"report/{path.name}" for path in Path(PACKAGE, "report").glob("*.*")]
TABLE_CODE = [
    "tables.py",
    "paper_tables.py",
    "comparisons.py",
    "statistics.py",
    "provenance.py",
    "audit/columns.py",
    "audit/effect_size.py",
    "audit/text.py",
]
AUDIT_CODE = [f"audit/{path.name}" for path in Path(PACKAGE, "audit").glob("*.py")]
AUDIT_CODE += ["comparisons.py", "fields.py"]
TABLE_FORMS = {"md": "md", "csv": "csv", "tex": "tex", "record": "json"}


def table(name):
    """The files of a table: Markdown for the report, CSV, LaTeX, and what it was made from."""
    return {kind: f"results/{{dataset}}/tables/{name}.{form}" for kind, form in TABLE_FORMS.items() if kind != "md"}


def reported(path, name, **labels):
    """An output that stands in Snakemake's report, by its caption ``workflow/report/NAME.rst``."""
    category = "Tables" if path.endswith(".md") else "Figures"
    labels = {"dataset": "{dataset}", "what": name, **labels}
    return report(path, caption=f"../workflow/report/{name}.rst", category=category, labels=labels)


def figure(name, caption=None, **labels):
    """The files of a figure of a dataset: PNG, in Snakemake's report, and PDF; keys as `NAME_png`, `NAME_pdf`."""
    path = f"results/{{dataset}}/figures/{name}"
    key = name.replace("-", "_")
    return {f"{key}_png": reported(f"{path}.png", caption or name, **labels), f"{key}_pdf": f"{path}.pdf"}


wildcard_constraints:
    dataset=names(DATASETS),
    arm="raw|affine",
    method=names(METHODS),
    seed=r"\d+",
    level=r"\d+",
    shard=r"\d+",
    subject=r"[A-Za-z0-9_-]+",


envvars:
    "SMGICNET_AFFINE_ENGINE",
    "SMGICNET_ABSENT_WEIGHTS",
    "SMGICNET_UNCHECKED_TOOLS",


def keep_layouts():
    """Write how many pairs a job takes, so that it stays so."""
    for layout in LAYOUTS.values():
        layout.keep()


def say_what_was_decided():
    """Which engine aligns, and which methods are left out."""
    if ENGINE_REASON:
        logger.info(f"Affine pre-registration: {ENGINE_REASON}")
    for name in ABSENT:
        logger.info(f"{name} is left out: no file {PUBLISHED[name]['file']}; `snakemake --cores 1 weights` fetches it")


onstart:
    keep_layouts()
    say_what_was_decided()


def also_as_module(earlier):
    """A handler after the outer Snakefile's: of a module Snakemake runs none. A module is read once a `use rule`."""

    def start(log):
        earlier(log)
        keep_layouts()
        if not hasattr(earlier, "of_module"):
            say_what_was_decided()

    start.of_module = True
    return start


if AS_MODULE:
    workflow._onstart = also_as_module(workflow._onstart)
