from smgicnet.core.logs import job_log
from smgicnet.core.provenance import files_digest, read_yaml, write_record, write_text
from smgicnet.publication.audit import audit

with job_log(snakemake.log[0]):
    report = audit(read_yaml(snakemake.input.paper), snakemake.params.seed)
    write_text(snakemake.output.md, report.to_markdown())
    write_record(
        snakemake.output.record,
        seed=snakemake.params.seed,
        paper=files_digest([snakemake.input.paper]),
        findings=report.findings(),
        code=snakemake.params.code,
    )
