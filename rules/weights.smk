# Weights that their authors publish: fetched once, on request alone. For the other rules they are files like a scan.


rule weights:
    log:
        "resources/weights/fetch.log",
    localrule: True
    conda:
        environment("analysis")
    params:
        wanted=study.published,
    script:
        "../workflow/scripts/fetch_weights.py"
