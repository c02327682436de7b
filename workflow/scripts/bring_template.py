from pathlib import Path

import torch

from smgicnet.config.qualities import qualities
from smgicnet.core.logs import job_log
from smgicnet.jobs.template import Registrar, bring_template

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.resources.torch_threads)
    given, params = snakemake.input, snakemake.params
    registrar = Registrar(Path(given.weights), {"refinement": qualities()[params.quality]})
    folder = Path(snakemake.output.record).parent
    bring_template(Path(given.template), Path(given.image), registrar, folder)
