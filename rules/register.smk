# Register and score in shards of test pairs, then gather them a method.

SCORING_CODE = [
    "evaluation.py",
    "register_job.py",
    "device.py",
    "weights.py",
    "preprocessing.py",
    LABEL_TABLE,
    "fields.py",
    "networks.py",
    "wavelets.py",
    "transforms_io.py",
    "methods/contract.py",
]


rule register_shard:
    input:
        images=lambda w: prepared(w.dataset, w.arm, shard_subjects(w), "image"),
        labels=lambda w: prepared(w.dataset, w.arm, shard_subjects(w), "labels"),
        truth=lambda w: truth_files(w.dataset, shard_subjects(w)),
        weights=final_weights,
    output:
        metrics="results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/metrics.csv",
        fields=directory("results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/fields"),
        record="results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/registration.json",
    log:
        "results/{dataset}/logs/register/{arm}-{method}-seed-{seed}-shard-{shard}.log",
    benchmark:
        "results/{dataset}/{arm}/{method}/seed-{seed}/shards/{shard}/benchmark.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        method=lambda w: unlabelled(w.method),
        subjects=shard_subjects,
        pairs=lambda w: SHARDS[w.dataset][int(w.shard)],
        keep=lambda w: [pair for pair in SHARDS[w.dataset][int(w.shard)] if pair in FIGURE_PAIRS[w.dataset]],
        code=lambda w: source_digest(*SCORING_CODE, f"methods/{METHODS[w.method]['type']}.py"),
    script:
        "../workflow/scripts/register_shard.py"


rule gather_metrics:
    input:
        metrics=lambda w: shard_files(w, "metrics.csv"),
        records=lambda w: shard_files(w, "registration.json"),
    output:
        metrics="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.csv.gz",
        record="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.json",
    log:
        "results/{dataset}/logs/gather/{arm}-{method}-seed-{seed}.log",
    conda:
        "../envs/analysis.yaml"
    script:
        "../workflow/scripts/gather_metrics.py"
