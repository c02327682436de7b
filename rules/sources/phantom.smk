# The embedded cohort: each subject is generated, with its true transforms.
from math import prod


rule render_phantom:
    output:
        **made["phantom"],
    log:
        paths.log("cohort/{subject}"),
    wildcard_constraints:
        dataset=names(study.of_kind("phantom")),
    conda:
        f"../{environment('torch')}"
    resources:
        expected_ms=needs.with_torch(1.5),
        kilobytes=lambda w: 8 * prod(study.datasets[w.dataset]["source"]["shape"]) // 1000,
    params:
        source=lambda w: recipe(study.datasets[w.dataset]["source"]),
        index=lambda w: study.cohort(w.dataset).index.get_loc(w.subject),
        code=code("render_phantom"),
    script:
        "../../workflow/scripts/render_phantom.py"
