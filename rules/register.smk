# Register and score in shards of test pairs, then gather them a method.


# a rule for networks, which ask for a GPU, and one for the others
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
    wildcard_constraints:
        method=names(NETWORKS),
    conda:
        lambda w: environment(w.method)
    threads: torch_threads
    resources:
        gpu=1,
        torch_threads=torch_threads,
        mem_mb=lambda w, attempt: registering_needs(w, attempt)[0],
        runtime=lambda w, attempt: registering_needs(w, attempt)[1],
    params:
        method=lambda w: untitled(w.method),
        subjects=shard_subjects,
        pairs=shard_pairs,
        code=lambda w: registering_code(METHODS[w.method]["type"], scored=True),
    script:
        "../workflow/scripts/register_shard.py"


use rule register_shard as register_shard_on_cpu with:
    wildcard_constraints:
        method=names(OTHERS),
    resources:
        gpu=0,
        torch_threads=torch_threads,
        mem_mb=lambda w, attempt: registering_needs(w, attempt)[0],
        runtime=lambda w, attempt: registering_needs(w, attempt)[1],


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
    resources:
        mem_mb=cohort_memory,
    params:
        pairs=lambda w: PAIRS[w.dataset],
        rules=CONFIG["evaluation"]["figure_pairs"],
        code=source_digest("shown_pairs.py", "evaluation.py", "label_protocols.py", LABEL_TABLE),
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
    wildcard_constraints:
        method=names(NETWORKS),
    conda:
        lambda w: environment(w.method)
    threads: torch_threads
    resources:
        gpu=1,
        torch_threads=torch_threads,
        mem_mb=lambda w, attempt: registering_needs(w, attempt)[0],
        runtime=lambda w, attempt: registering_needs(w, attempt)[1],
    params:
        method=lambda w: untitled(w.method),
        code=lambda w: registering_code(METHODS[w.method]["type"], scored=False),
    script:
        "../workflow/scripts/register_shown.py"


use rule register_shown as register_shown_on_cpu with:
    wildcard_constraints:
        method=names(OTHERS),
    resources:
        gpu=0,
        torch_threads=torch_threads,
        mem_mb=lambda w, attempt: registering_needs(w, attempt)[0],
        runtime=lambda w, attempt: registering_needs(w, attempt)[1],


rule gather_metrics:
    input:
        metrics=lambda w: shard_files(w, "metrics.csv"),
        records=lambda w: shard_files(w, "registration.json") + alignments(w, "record.json"),
    output:
        metrics="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.csv.gz",
        record="results/{dataset}/{arm}/{method}/seed-{seed}/metrics.json",
    log:
        "results/{dataset}/logs/gather/{arm}-{method}-seed-{seed}.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    script:
        "../workflow/scripts/gather_metrics.py"
