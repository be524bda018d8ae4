"""`python -m curator` is `curator`."""

from curator.cli.main import main

main()
