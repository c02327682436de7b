"""Run by the Python of an environment: import modules, and say which are missing or come from elsewhere.

look.py WANTED FOUND, JSON files both. WANTED has ``root``, a folder with modules of one's own, the names of
``modules`` to import, of those that need only be ``located``, and of those that should be ``absent``.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

wanted = json.loads(Path(sys.argv[1]).read_text())
sys.path.append(wanted["root"])
missing = {}
for name in wanted["modules"]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing[name] = str(error)
missing |= {name: "cannot be located" for name in wanted["located"] if not importlib.util.find_spec(name)}
allowed = [Path(sys.prefix).resolve(), Path(wanted["root"], "smgicnet").resolve()]
files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
elsewhere = {
    name: file
    for name, file in files.items()
    if file and file != __file__ and Path(file).is_absolute()  # torch calls some of its own by a file's mere name
    if not any(Path(file).resolve().is_relative_to(folder) for folder in allowed)
}
found = {
    "missing": missing,
    "elsewhere": elsewhere,
    "present": [name for name in wanted["absent"] if importlib.util.find_spec(name)],
    "loaded": sorted({name.split(".")[0] for name in files}),
}
Path(sys.argv[2]).write_text(json.dumps(found, indent=1))
