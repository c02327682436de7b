"""The registration methods: their contract and the table of those that there are."""

from smgicnet.methods.contract import LearnedMethod, Method, Registration, Stage
from smgicnet.methods.initial import Initial
from smgicnet.methods.smgicnet import SMGICNet

METHODS: dict[str, type[Method]] = {"initial": Initial, "smgicnet": SMGICNet}

__all__ = ["METHODS", "LearnedMethod", "Method", "Registration", "Stage"]
