"""Imported before torch is: how its threads wait is set first, as programs do."""

from smgicnet.core.process import keep_waiting_short

keep_waiting_short()
