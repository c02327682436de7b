from smgicnet.core.logs import job_log
from smgicnet.core.provenance import write_record
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.brain_extraction import extract_brain

with job_log(snakemake.log[0]):
    given, output = snakemake.input, snakemake.output
    found = extract_brain(
        given.image,
        snakemake.params.tool,
        mask_path=given.get("mask"),
        threads=snakemake.threads,
        form=snakemake.params.form,
    )
    write_volume(output.image, found.image.data, found.image.affine)
    write_volume(output.mask, found.mask.data, found.mask.affine)
    write_record(output.record, step="skull strip", image=given.image, **found.record)
