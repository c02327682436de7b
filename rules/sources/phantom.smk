# Generated subjects with their true transforms, of the embedded brain or of label maps of other people.
from math import prod

CUT_TO_THE_BRAIN = (90, 110, 100)  # about the shape of an image that is cut to its brain, at 2 mm


rule render_phantom:
    input:
        files.anatomy,
    output:
        **made["phantom"],
    log:
        paths.log("cohort/{subject}"),
    wildcard_constraints:
        dataset=names(study.of_kind("phantom")),
    conda:
        f"../{environment('torch')}"
    resources:
        expected_ms=lambda w: needs.with_torch(10 if files.anatomy(w) else 1.5),
        kilobytes=lambda w: 8 * prod(study.datasets[w.dataset]["source"]["shape"] or CUT_TO_THE_BRAIN) // 1000,
    params:
        source=lambda w: recipe(study.datasets[w.dataset]["source"]),
        index=lambda w: int(study.cohort(w.dataset).at[w.subject, "stream"]),
        code=code("render_phantom"),
    script:
        "../../workflow/scripts/render_phantom.py"
