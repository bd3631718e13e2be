"""Faults planted one by one into the code that money, limits and tenancy rest on: does a test notice?

    python -m clipforge.devtools.mutation credits --share 0.2 --seed 1

`operators` and cosmic-ray's make the mutants, `mutants` lists those of a file, `planting` puts one into
a running process, `session` runs the tests that execute the mutated line, each mutant in a fork of one
warm pytest process. No file is ever changed. What survives is in `clipforge/docs/mutation.md`.
"""
