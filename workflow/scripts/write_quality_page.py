from smgicnet.core.logs import job_log
from smgicnet.publication.report.quality_page import write_quality_page

with job_log(snakemake.log[0]):
    given, names = snakemake.input, snakemake.params.subjects
    write_quality_page(
        snakemake.output[0],
        dataset=snakemake.wildcards.dataset,
        table_path=given.table,
        images=dict(zip(names, given.images, strict=True)),
        labels=dict(zip(names, given.labels, strict=True)),
    )
