from pathlib import Path

from smgicnet.config.qualities import qualities
from smgicnet.core.logs import job_log
from smgicnet.jobs.template import Registrar, start_template

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    registrar = Registrar(Path(given.weights), {"refinement": qualities()[params.quality]})
    images = [Path(path) for path in given.images]
    start_template(images, registrar, params.spacing, Path(snakemake.output.image).parent)
