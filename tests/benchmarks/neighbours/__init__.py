"""What a user would pick instead of curator, on the same real pairs and against the same judge server.

    python -m tests.benchmarks.neighbours install
    python -m tests.benchmarks.neighbours run

The first makes an environment for each tool; the second has each of them judge 2,000 pairs in both orders and prints a
table. `tools` says what is compared, `scripts/` how each tool is driven, `pairs` which pairs are asked about.
"""
