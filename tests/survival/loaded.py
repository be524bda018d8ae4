"""What a process that runs curator is to have loaded beforehand, so that its runs do not wait for imports."""

import importlib

for name in (
    "curator.cli.export_command", "curator.cli.label_command", "curator.judges.sglang", "curator.pipeline",
    "curator.sources.arrow", "curator.steps.hygiene", "curator.steps.importing", "curator.steps.reviewing",
    "datasketch", "krippendorff", "markdown_it",
    "matplotlib.figure", "matplotlib.style",
    "matplotlib.backends.backend_svg", "multiprocessing.util", "nh3", "pandas", "pyarrow.pandas_compat", "py3langid",
    "rapidfuzz.distance", "scipy.optimize", "scipy.special", "scipy.stats", "tqdm", "zoneinfo",
):  # fmt: skip
    importlib.import_module(name)
