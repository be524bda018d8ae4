"""The command line: parse, call the pipeline, print. One file a command; main gathers them."""
