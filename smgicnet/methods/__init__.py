"""The registration methods: their contract, a file a method, their weights, and the device that they run on.

Public: `METHODS`, and the modules `contract`, `weights`, `published_weights`, `loading`, `device`. It may
import core, config, registration, imaging and preparation.
"""

from smgicnet.core.registry import Registry

GIVEN = "fields"  # the type of a method whose displacements another program has computed: nothing here registers
OUTSIDE = "command"  # the type of a method that is a program of its own command line
METHODS = Registry(
    {
        "initial": "smgicnet.methods.initial:Initial",
        "pose": "smgicnet.methods.pose:PoseAlone",
        "syn": "smgicnet.methods.syn:SyN",
        "icnet": "smgicnet.methods.icnet:ICNet",
        "lapirn": "smgicnet.methods.lapirn:LapIRN",
        "smgicnet": "smgicnet.methods.smgicnet:SMGICNet",
        "synthmorph": "smgicnet.methods.synthmorph:SynthMorph",
        "command": "smgicnet.methods.command:Command",
        "gradicon": "smgicnet.methods.gradicon:GradICON",
    }
)
