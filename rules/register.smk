# Register and score in shards of test pairs, then gather them a method.

REGISTERING_CODE = [
    "register_job.py",
    "device.py",
    "weights.py",
    "fields.py",
    "affine.py",
    "transforms_io.py",
    "methods/contract.py",
]
SCORING_CODE = [*REGISTERING_CODE, "evaluation.py", "preprocessing.py", LABEL_TABLE]


rule register_shard:
    input:
        # in the affine arm too: an image or label map is resampled once, through affine and deformation
        images=lambda w: prepared(w.dataset, "raw", shard_subjects(w), "image"),
        labels=lambda w: prepared(w.dataset, "raw", shard_subjects(w), "labels"),
        alignments=lambda w: alignments(w, "alignments.json"),
        truth=lambda w: truth_files(w.dataset, shard_subjects(w)),
        weights=final_weights,
        excluded=exclusion,
    output:
        metrics="results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/metrics.csv",
        record="results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/registration.json",
    log:
        "results/{dataset}/logs/register/{arm}-{method}-seed-{seed}-shard-{shard}.log",
    benchmark:
        "results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/benchmark.tsv"
    conda:
        lambda w: environment(w.method)
    threads: lambda w: METHODS[w.method].get("threads", 2)
    resources:
        gpu=lambda w: int(is_network(w.method)),
    params:
        method=lambda w: untitled(w.method),
        subjects=shard_subjects,
        pairs=lambda w: SHARDS[w.dataset][int(w.shard)],
        code=lambda w: code_of(w.method, *SCORING_CODE),
    script:
        "../workflow/scripts/register_shard.py"


rule choose_pairs:
    input:
        labels=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, "test"), "labels"),
        excluded=exclusion,
    output:
        "results/{dataset}/cohort/shown_pairs.json",
    log:
        "results/{dataset}/logs/shown_pairs.log",
    conda:
        "../envs/torch.yaml"
    params:
        pairs=lambda w: PAIRS[w.dataset],
        rules=CONFIG["evaluation"]["figure_pairs"],
        code=source_digest("shown_pairs.py", "evaluation.py", "preprocessing.py", LABEL_TABLE),
    script:
        "../workflow/scripts/choose_pairs.py"


# a few pairs again, so that neither another choice nor another figure registers a cohort anew
rule register_shown:
    input:
        pairs="results/{dataset}/cohort/shown_pairs.json",
        images=lambda w: prepared(w.dataset, "raw", subjects(w.dataset, "test"), "image"),
        alignments=lambda w: alignments(w, "alignments.json"),
        weights=final_weights,
    output:
        directory("results/{dataset}/{arm}/{method}/seed-{seed}/shown"),
    log:
        "results/{dataset}/logs/register/{arm}-{method}-seed-{seed}-shown.log",
    conda:
        lambda w: environment(w.method)
    threads: lambda w: METHODS[w.method].get("threads", 2)
    resources:
        gpu=lambda w: int(is_network(w.method)),
    params:
        method=lambda w: untitled(w.method),
        code=lambda w: code_of(w.method, *REGISTERING_CODE),
    script:
        "../workflow/scripts/register_shown.py"


rule gather_metrics:
    input:
        metrics=lambda w: shard_files(w, "metrics.csv"),
        records=lambda w: shard_files(w, "registration.json") + alignments(w, "record.json"),
    output:
        metrics="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.csv.gz",
        record="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.json",
    log:
        "results/{dataset}/logs/gather/{arm}-{method}-seed-{seed}.log",
    conda:
        "../envs/analysis.yaml"
    script:
        "../workflow/scripts/gather_metrics.py"
