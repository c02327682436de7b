# The environments of programs from outside, methods of type `command`: one a distinct environment, made once.


rule make_program:
    input:
        lambda w: files.environments[w.digest].get("conda", []),
    output:
        f"{program_environment('{digest}')}/{PROGRAM_RECORD}",
    log:
        f"{program_environment('{digest}')}/make.log",
    wildcard_constraints:
        digest=names(files.environments),
    localrule: True
    conda:
        environment("analysis")
    params:
        environment=lambda w: files.environments[w.digest],
        code=code("make_program"),
    script:
        "../workflow/scripts/make_program.py"
