"""The contents of a config file, completed and checked.

Public: `completion` (`load`, `complete`), `blocks` (what of a method's block training and registering depend on),
`building` (frozen dataclasses), `consistency` (`grid_stride`), `validation`, `origin`, `schemas`. It may import core.
"""
