# Who is in a cohort: where its subjects come from, who is in which split, and the pairs to test.
from smgicnet.cohort.sources import SOURCES, recipe

# the files that each kind of source makes for a subject, by column of the participants
made = {
    kind: {column: paths.cohort_file("{subject}", name) for column, name in source.files.items()}
    for kind, source in SOURCES.items()
}


include: "sources/phantom.smk"
include: "sources/label_maps.smk"
include: "sources/archive.smk"


rule write_cohort:
    output:
        participants=paths.participants,
        pairs=paths.pairs,
    log:
        paths.log("cohort"),
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
        for_datasets([paths.participants, paths.pairs]),
