# Weights that their authors publish: fetched once, on request alone. For the other rules they are files like a scan.


rule weights:
    log:
        "resources/weights/fetch.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        wanted=PUBLISHED,
    script:
        "../workflow/scripts/fetch_weights.py"
