"""One training by several processes of one machine, each with a GPU, that share every batch; torchrun starts them.

DistributedDataParallel averages the gradients, so that N processes do what one does with the same global batch.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from smgicnet.core.errors import InputError
from smgicnet.core.files import PACKAGE
from smgicnet.core.interruption import REQUEUE, Interrupted
from smgicnet.core.logs import job_log
from smgicnet.methods.device import has_gpu_of_its_own, pick_device

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

LONGEST_WAIT = timedelta(hours=2)  # the others wait so long while the first validates
SPEAKS_AFTER = 5  # seconds after which a process other than the first reports its error
DONE = "done"  # the file that says that the first process came to its end
STOPPING_SECONDS = 100  # processes that are asked to stop have so long to write a checkpoint
log = logging.getLogger(__name__)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass(frozen=True)
class Group:
    """The processes of a training, of which the first alone writes and validates.

    Attributes
    ----------
    rank : the number of this process, from 0; by default 0
    size : the number of processes; by default 1
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def part(self, count: int) -> range:
        """Return the indices, of ``count`` pairs of a batch, that are this process's."""
        return range(self.rank, count, self.size)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module with the gradients of the parameters that are being trained averaged over the processes."""
        if self.size == 1:
            return module
        # The layout of a kernel of one voxel can be described by several strides: nothing is copied.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(module)

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return scalars, averaged over the processes."""
        if self.size == 1:
            return {name: value.item() for name, value in values.items()}
        stacked = torch.stack([value.float() for value in values.values()])
        dist.all_reduce(stacked)
        return dict(zip(values, (stacked / self.size).tolist(), strict=True))

    def any(self, value: bool, device: torch.device) -> bool:
        """Return whether ``value`` is true in one of the processes."""
        if self.size == 1:
            return value
        flag = torch.tensor(float(value), device=device)
        dist.all_reduce(flag)
        return flag.item() > 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that torchrun has started; without torchrun, this process is alone.

    Raises `InputError` where there are fewer free GPUs than processes.
    """
    size = int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1  # sites set WORLD_SIZE too
    if size == 1:
        yield Group()
        return
    device = pick_device()
    if device.type == "cuda":
        if not has_gpu_of_its_own():
            raise InputError("GPUs", f"{size} are needed, fewer are free here", "Ask for fewer, or wait for other jobs")
        device = torch.device("cuda", torch.cuda.current_device())
        dist.init_process_group("nccl", timeout=LONGEST_WAIT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=LONGEST_WAIT)
    try:
        yield Group(dist.get_rank(), size)
    except Interrupted:  # after any other error the others wait for this one, and it must not wait for them
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def run(
    function: Callable[..., object], processes: int, log_path: str | Path, *arguments: object, **keywords: object
) -> None:
    """Call ``function``, one of a module, in so many ``processes`` at once, or in this one if it is only one.

    The processes' messages go to ``log_path``. Raises `Interrupted` when they were asked to stop before they were done,
    and ``SystemExit`` with their code after an error.
    """
    if processes <= 1:
        function(*arguments, **keywords)
        return
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(STOPPING_SECONDS))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, max_restarts=0, monitor_interval=0.5,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="localhost", run_id="smgicnet",
    )  # fmt: skip
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes speak for themselves
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))  # torchrun knows the other two
    with tempfile.TemporaryDirectory() as folder:
        call = Path(folder) / "call.pickle"
        call.write_bytes(pickle.dumps((function, arguments, keywords, str(log_path))))
        try:
            elastic_launch(config, sys.executable)("-m", "smgicnet.training.distributed", str(call))
        except SignalException as stopped:
            if not (call.parent / DONE).exists():  # they may have come to their end all the same
                raise Interrupted(f"interrupted by {stopped.sigval.name}") from None
        except ChildFailedError as failed:
            raise _ended(failed.get_first_failure()[1]) from None
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def _ended(failure: ProcessFailure) -> BaseException:
    """Return the exception that stands for the end of the process that failed first.

    That process has reported its error itself, unless it was killed.
    """
    if failure.exitcode == REQUEUE:
        return Interrupted("interrupted")
    if failure.exitcode < 0:
        by = failure.signal_name()
        log.error("process %d was ended by %s%s", failure.local_rank, by, ": out of memory?" * (by == "SIGKILL"))
    return SystemExit(max(1, failure.exitcode))


def main(call: str) -> None:
    """Run one of the processes that `run` starts; ``call`` is the file that holds what it is to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
    function, arguments, keywords, path = pickle.loads(Path(call).read_bytes())
    first = os.environ["RANK"] == "0"
    with job_log(path, again=True, quiet=not first):
        try:
            function(*arguments, **keywords)
        except Interrupted:
            raise
        except Exception:
            if not first:  # torchrun ends this process meanwhile, where the first one has an error, too
                time.sleep(SPEAKS_AFTER)
            raise
        if first:
            Path(call).with_name(DONE).touch()


if __name__ == "__main__":
    main(sys.argv[1])
