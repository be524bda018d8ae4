"""What is compared: the tools, the releases, and how each is installed and driven."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Tool:
    """A neighbour.

    Attributes:
        package: the distribution it is, as pip names it.
        needs: what pip installs, pinned.
        script: its file in `scripts/`.
        in_flight: requests at once with which it was fastest; `tune` lists what was tried.
        how: how it is driven, for the table.
    """

    name: str
    package: str
    needs: tuple[str, ...]
    script: str
    in_flight: int
    tried: tuple[int, ...]
    how: str

    def python(self, home: Path) -> Path:
        return home / self.name.replace(" ", "-") / "bin" / "python"


# The client libraries are pinned too: for a tool that is slow because of them, another release is another measurement.
TOOLS = (
    Tool(
        "openai script", "openai", ("openai[aiohttp]==3.51.0",), "with_openai.py",
        64, (16, 32, 64, 128, 256), "AsyncOpenAI on aiohttp, workers, top_logprobs",
    ),
    Tool(
        "bespokelabs-curator", "bespokelabs-curator", ("bespokelabs-curator==0.1.31",), "with_bespoke.py",
        16, (16, 64, 256), "LLM class, openai backend, rate limits lifted, cache and display off",
    ),
    Tool(
        "distilabel", "distilabel", ("distilabel[openai]==1.5.3", "openai==3.54.0", "requests"), "with_distilabel.py",
        256, (64, 256, 1024), "ChatGeneration over OpenAILLM, log level WARNING, cache off; batch size = in flight",
    ),
    Tool(
        "inspect-ai", "inspect-ai", ("inspect-ai==0.3.285", "openai==3.54.0"), "with_inspect.py",
        256, (16, 64, 256), "generate() over openai-api, no display, no realtime log, no API log",
    ),
    Tool(
        "alpaca_eval", "alpaca_eval", ("alpaca_eval==0.6.6", "openai==3.54.0"), "with_alpaca_eval.py",
        64, (8, 64, 256), "PairwiseAnnotator, logprob_parser, threads, one chunk, cache and log off",
    ),
)  # fmt: skip


def default_home() -> Path:
    """Where the environments are kept."""
    return Path.home() / ".cache" / "curator-bench"


def install(tool: Tool, home: Path) -> str | None:
    """Make a tool's environment anew; None when it works, else what pip or the import said."""
    python = tool.python(home)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *tool.needs]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()[-2000:]


def version(tool: Tool, home: Path) -> str | None:
    """The installed release; None where there is none."""
    if not tool.python(home).exists():
        return None
    code = f"from importlib.metadata import version; print(version({tool.package!r}))"
    done = subprocess.run([str(tool.python(home)), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
