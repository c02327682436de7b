"""The log with which every script of the workflow starts."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smgicnet.core.errors import InputError
from smgicnet.core.interruption import REQUEUE, Interrupted


@contextmanager
def job_log(path: str | Path, *, again: bool = False, quiet: bool = False) -> Iterator[None]:
    """Log to ``path`` and to the terminal; an `InputError` ends the job with its message alone, no traceback.

    ``again``: the log has begun already, in the process that started this one; ``quiet``: errors alone, where
    another process says the rest. The exit code is 1 for errors and `REQUEUE` where the job was
    `Interrupted` and goes on when it is started again.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    form = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    if not again:
        Path(path).write_text("")
    # several processes may write
    handlers: list[logging.Handler] = [logging.FileHandler(path, mode="a"), logging.StreamHandler(sys.stderr)]
    for handler in handlers:
        handler.setFormatter(form)
    logging.basicConfig(level=logging.ERROR if quiet else logging.INFO, handlers=handlers)
    logging.captureWarnings(True)
    try:
        yield
    except InputError as error:
        logging.error("Error: %s", error)
        raise SystemExit(1) from None
    except Interrupted as stopped:
        logging.warning("%s", stopped)
        raise SystemExit(REQUEUE) from None
    except Exception:
        logging.error("%s", traceback.format_exc())
        raise SystemExit(1) from None
