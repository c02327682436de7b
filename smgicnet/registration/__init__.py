"""The mathematics of registration, without files or configs: fields, losses, networks, wavelets, pose, refinement.

All modules are public. It imports no other room.
"""
