from pathlib import Path

from smgicnet.cohort.phantom import PhantomConfig, make_phantom
from smgicnet.cohort.template import load_anatomy
from smgicnet.config.building import build
from smgicnet.core.logs import job_log
from smgicnet.imaging.images import write_volume

with job_log(snakemake.log[0]):
    template = load_anatomy(snakemake.input[0]) if snakemake.input else None
    subject = make_phantom(snakemake.params.index, build(PhantomConfig, snakemake.params.source), template)
    for name, path in snakemake.output.items():
        volume = getattr(subject, name)
        write_volume(Path(path), volume.data, volume.affine)
