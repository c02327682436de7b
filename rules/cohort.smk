from smgicnet.cohort.sources import recipe

# Where subjects come from: rendered, or out of a published archive; who is in which split, and the pairs to test.


rule render_phantom:
    output:
        image="results/{dataset}/cohort/{subject}/T1w.nii.gz",
        labels="results/{dataset}/cohort/{subject}/labels.nii.gz",
        to_template="results/{dataset}/cohort/{subject}/to_template.nii",
        from_template="results/{dataset}/cohort/{subject}/from_template.nii",
    log:
        "results/{dataset}/logs/cohort/{subject}.log",
    wildcard_constraints:
        dataset=names(study.of_kind("phantom")),
    conda:
        environment("torch")
    params:
        source=lambda w: recipe(study.datasets[w.dataset]["source"]),
        index=lambda w: study.cohort(w.dataset).index.get_loc(w.subject),
        code=code("render_phantom"),
    script:
        "../workflow/scripts/render_phantom.py"


rule render_label_map:
    input:
        lambda w: study.cohort(w.dataset).at[w.subject, "label_map"],
    output:
        image="results/{dataset}/cohort/{subject}/rendered.nii.gz",
        labels="results/{dataset}/cohort/{subject}/rois.nii.gz",
    log:
        "results/{dataset}/logs/cohort/{subject}.log",
    wildcard_constraints:
        dataset=names(study.of_kind("label-maps")),
    conda:
        environment("analysis")
    params:
        source=lambda w: recipe(study.datasets[w.dataset]["source"]),
        code=code("render_label_map"),
    script:
        "../workflow/scripts/render_label_map.py"


rule fetch_archive:
    output:
        "results/{dataset}/cohort/archive.tsv",
    log:
        "results/{dataset}/logs/archive.log",
    wildcard_constraints:
        dataset=names(study.of_kind("archive")),
    localrule: True
    conda:
        environment("analysis")
    params:
        source=lambda w: study.datasets[w.dataset]["source"],
        code=code("fetch_archive"),
    script:
        "../workflow/scripts/fetch_archive.py"


rule extract_scan:
    input:
        "results/{dataset}/cohort/archive.tsv",
    output:
        image="results/{dataset}/cohort/{subject}/scan.nii.gz",
    log:
        "results/{dataset}/logs/cohort/{subject}.log",
    wildcard_constraints:
        dataset=names([name for name in study.of_kind("archive") if not study.datasets[name]["source"]["labels"]]),
    conda:
        environment("analysis")
    params:
        archive=lambda w: study.datasets[w.dataset]["source"]["file"],
    script:
        "../workflow/scripts/extract_scan.py"


use rule extract_scan as extract_labelled_scan with:
    output:
        image="results/{dataset}/cohort/{subject}/scan.nii.gz",
        labels="results/{dataset}/cohort/{subject}/scan-labels.nii.gz",
    wildcard_constraints:
        dataset=names([name for name in study.of_kind("archive") if study.datasets[name]["source"]["labels"]]),


rule write_cohort:
    output:
        participants="results/{dataset}/cohort/participants.tsv",
        pairs="results/{dataset}/cohort/pairs.tsv",
    log:
        "results/{dataset}/logs/cohort.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        table=lambda w: study.cohort(w.dataset).reset_index().to_dict("list"),
        pairs=lambda w: study.pairs(w.dataset),
    script:
        "../workflow/scripts/write_cohort.py"


rule cohorts:
    input:
        expand(
            "results/{dataset}/cohort/{table}.tsv",
            dataset=study.datasets,
            table=["participants", "pairs"],
        ),
