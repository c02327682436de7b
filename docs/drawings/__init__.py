"""The drawings of the concepts, made by the project's own code: ``python -m docs.drawings``, or ``make drawings``."""
