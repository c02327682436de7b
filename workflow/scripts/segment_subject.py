from pathlib import Path

from smgicnet.core.logs import job_log
from smgicnet.core.provenance import write_record
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.segmentation import segment

with job_log(snakemake.log[0]):
    image, subject = snakemake.input.image, snakemake.wildcards.subject
    folder = Path(snakemake.params.folder)
    labels, record = segment(
        image,
        snakemake.params.tool,
        subject=subject,
        folder=folder,
        threads=snakemake.threads,
        form=snakemake.params.form,
    )
    write_volume(snakemake.output.labels, labels.data, labels.affine)
    write_record(snakemake.output.record, step="segmentation", image=image, **record)
