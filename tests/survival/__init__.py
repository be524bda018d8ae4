"""What happens to curator when the machine, a server, a file or a person means it no good.

Short forms of each run with the suite; `pytest -m survival` runs them at length, `python -m tests.survival NAME` the
longest.
"""
