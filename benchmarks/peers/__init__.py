"""Other programs, each run as its authors advise for brains: ``python run_NAME.py FIXED MOVING FOLDER THREADS``.

Each script runs in an environment of its own (`benchmarks.registration` makes it), writes what the program finds to
FOLDER, and to ``FOLDER/transforms.txt`` the files in the order of antsApplyTransforms.
"""
