"""The registration methods: their contract and the table of those that there are."""

from smgicnet.methods.contract import LearnedMethod, Method, PublishedMethod, Registration, Stage
from smgicnet.methods.gradicon import GradICON
from smgicnet.methods.icnet import ICNet
from smgicnet.methods.initial import Initial
from smgicnet.methods.lapirn import LapIRN
from smgicnet.methods.smgicnet import SMGICNet
from smgicnet.methods.syn import SyN
from smgicnet.methods.synthmorph import SynthMorph

METHODS: dict[str, type[Method]] = {
    "initial": Initial,
    "syn": SyN,
    "icnet": ICNet,
    "lapirn": LapIRN,
    "smgicnet": SMGICNet,
    "synthmorph": SynthMorph,
    "gradicon": GradICON,
}

__all__ = ["METHODS", "LearnedMethod", "Method", "PublishedMethod", "Registration", "Stage"]
