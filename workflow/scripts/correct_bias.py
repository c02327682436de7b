from smgicnet.core.logs import job_log
from smgicnet.core.provenance import write_record
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.bias_field import correct_bias

with job_log(snakemake.log[0]):
    image, record = correct_bias(snakemake.input.image, snakemake.input.get("mask"), snakemake.params.form)
    write_volume(snakemake.output.image, image.data, image.affine)
    write_record(snakemake.output.record, step="bias field", image=snakemake.input.image, **record)
