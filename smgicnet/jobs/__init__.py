"""Snakemake's door: what a study consists of, and what each job of it does.

Public: `study`, `costs`, `code`, and a module a kind of job. It may import every room but commands, which alone imports
it besides the workflow.
"""
