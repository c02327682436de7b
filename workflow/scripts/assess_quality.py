from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.core.provenance import write_text
from smgicnet.preparation.quality import QualityConfig, excluded_subjects, write_quality

with job_log(snakemake.log[0]):
    given, params, table = snakemake.input, snakemake.params, snakemake.output.table
    config = build(QualityConfig, params.quality)
    write_quality(params.subjects, params.splits, given.images, given.labels, given.reports, config, table)
    write_text(snakemake.output.excluded, "".join(f"{name}\n" for name in sorted(excluded_subjects(table))))
