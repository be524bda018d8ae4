"""How near a GPU's real matrix rate judging comes: in process, and with SGLang asked by curator's own client.

    python -m tests.benchmarks.gpu
    python -m tests.benchmarks.gpu --device cpu --layers 2 --hidden 64

A Llama of random weights reads prompts of random words and gives the log-probabilities of two labels, no more: a
prefill. Its floor is 2 x parameters x tokens / matrix rate, with the parameters of the layers, which every token passes
through (the embedding is looked up, and the last layer reads one token a prompt). Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VOCABULARY = 32_000
SEED = 20261124


@dataclass(frozen=True)
class Scale:
    """How much is measured: enough for a steady figure on a GPU, seconds on a CPU.

    Attributes:
        matrices: rows of the square matrices.
        lengths: tokens a prompt.
        runs: timed runs, of which the median counts.
        batch_tokens, client_tokens: tokens of a batch in process, and of all prompts of one length with SGLang.
    """

    matrices: tuple[int, ...]
    lengths: tuple[int, ...]
    runs: int
    batch_tokens: int
    client_tokens: int


SCALES = {
    "cuda": Scale((4_096, 8_192, 16_384), (512, 1_024, 2_048), 20, 16_384, 500_000),
    "cpu": Scale((256, 512), (64, 128), 3, 256, 4_096),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(SCALES), default="cuda")
    parser.add_argument("--layers", type=int, default=32, help="32 layers of 4,096 are 6.5 billion parameters")
    parser.add_argument("--hidden", type=int, default=4_096)
    parser.add_argument("--sglang-python", help="Python that has SGLang; default: this one, where it can import it")
    parser.add_argument("--sglang-args", default="", help="further flags for the server, as --sglang-args=--flag")
    chosen = parser.parse_args()
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"{error.name} is not installed: nothing is measured")
        return
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing is measured (--device cpu --layers 2 --hidden 64 tries the script)")
        return
    measure(chosen, SCALES[chosen.device])


def measure(chosen: argparse.Namespace, scale: Scale) -> None:
    import torch
    import transformers

    torch.manual_seed(SEED)
    name = torch.cuda.get_device_name() if chosen.device == "cuda" else "CPU"
    config = llama(chosen.layers, chosen.hidden, chosen.device)
    rates = {size: matrix_rate(size, chosen.device, scale.runs) for size in scale.matrices}
    rate = max(rates.values())
    parameters, found = in_process(config, chosen.device, scale)
    print(
        f"{name}; torch {torch.__version__}, transformers {transformers.__version__}; a Llama of "
        f"{config.num_hidden_layers} layers of {config.hidden_size} ({parameters:,} parameters in the layers), bf16\n"
    )
    print("| what | size | measured | floor | measured / floor |\n|---|---|---|---|---|")
    for size, one in rates.items():
        print(f"| bf16 matrix product | {size:,} x {size:,} | {one / 1e12:.4g} TFLOP/s | | |")
    floor = rate / (2 * parameters)
    for length, speed in found.items():
        print(row("in process, transformers", length, speed, floor))
    if not chosen.sglang_python and find_spec("sglang") is None:
        return
    if chosen.device == "cuda":
        torch.cuda.empty_cache()  # the server is another process and needs the memory
    for length, speed in served(config, chosen, scale).items():
        print(row("SGLang, curator's client", length, speed, floor))


def row(what: str, length: int, speed: float, floor: float) -> str:
    return f"| {what} | {length:,} tokens | {speed:,.0f} tokens/s | {floor:,.0f} tokens/s | {speed / floor:.1%} |"


def llama(layers: int, hidden: int, device: str) -> Any:
    """The shape of a Llama, with as many of its layers as three quarters of the memory hold."""
    import torch
    from transformers import LlamaConfig

    heads = max(1, hidden // 128)
    inner = -(-hidden * 8 // 3 // 64) * 64
    if device == "cuda":
        a_layer = 2 * (4 * hidden**2 + 3 * hidden * inner)
        layers = min(layers, int(torch.cuda.mem_get_info()[0] * 0.75) // a_layer)
    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=4_096,
        tie_word_embeddings=False, dtype="bfloat16", architectures=["LlamaForCausalLM"],
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip


def seconds(action: Callable[[], object], device: str, runs: int) -> float:
    """Median seconds of an action after two calls to warm up."""
    import torch

    def once() -> float:
        start = time.perf_counter()
        action()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once(), once()
    return statistics.median(once() for _ in range(runs))


def matrix_rate(size: int, device: str, runs: int) -> float:
    """Operations a second of a product of two square bf16 matrices."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: left @ right, device, runs)


def in_process(config: Any, device: str, scale: Scale) -> tuple[int, dict[int, float]]:
    """Parameters of the layers, and tokens a second by prompt length, of transformers reading batches of prompts."""
    import torch
    from transformers import LlamaForCausalLM

    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    speeds = {}
    for length in scale.lengths:
        batch = max(1, scale.batch_tokens // length)
        ids = torch.randint(VOCABULARY, (batch, length), device=device)
        with torch.inference_mode():
            speeds[length] = batch * length / seconds(lambda ids=ids: labels(model, ids), device, scale.runs)
    return sum(weights.numel() for weights in model.model.layers.parameters()), speeds


def labels(model: Any, ids: Any) -> Any:
    """Log-probabilities of the tokens 0 and 1 after each prompt; shape (n_prompts, 2)."""
    import torch

    last = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
    return torch.log_softmax(model.lm_head(last).float(), dim=-1)[:, :2].cpu()


def served(config: Any, chosen: argparse.Namespace, scale: Scale) -> dict[int, float]:
    """Tokens a second by prompt length of an SGLang server, asked as `curator label` asks."""
    from curator.options import JudgeChoice
    from curator.progress import Progress
    from curator.steps.judging import opened

    async def ask(choice: JudgeChoice, log: Path) -> dict[int, float]:
        speeds = {}
        async with opened(choice, log, Progress()) as judge:
            for length in scale.lengths:
                count = scale.client_tokens // length
                await judged(judge, length, count // 8)
                start = time.perf_counter()
                computed = await judged(judge, length, count)
                speeds[length] = computed / (time.perf_counter() - start)
        return speeds

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        config.save_pretrained(model)
        write_tokenizer(model)
        (model / "judge.yaml").write_text(TEMPLATE, encoding="utf-8")
        choice = JudgeChoice(
            model=str(model), tokenizer=str(model), template=str(model / "judge.yaml"),
            sglang_python=chosen.sglang_python, sglang_arguments=f"--load-format dummy {chosen.sglang_args}",
        )  # fmt: skip
        return asyncio.run(ask(choice, model / "server.log"))


TEMPLATE = """name: words
kind: completion
labels: [" w0", " w1"]
text: "{{ conversation[0].content }} {{ first }} {{ second }}"
"""


def write_tokenizer(folder: Path) -> None:
    """A tokenizer for which every word is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w2"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


async def judged(judge: Any, length: int, count: int) -> int:
    """Have a judge read `count` new prompts of `length` tokens; returns how many tokens it computed."""
    from curator.pair import Message, Order
    from curator.prompts import Question

    def words(number: int) -> str:
        return " ".join(f"w{random.randrange(VOCABULARY)}" for _ in range(number))

    half = (length - 1) // 2
    questions = [
        Question(str(i), Order.AB, (Message("user", words(length - 2 * half)),), words(half), words(half))
        for i in range(max(1, count))
    ]
    computed = 0
    async for replies in judge.judge(questions):
        for reply in replies:
            if reply.failed is not None or reply.prompt_tokens != length:
                raise RuntimeError(f"a judgment failed: {reply}")
            computed += length - (reply.cached_tokens or 0)
    return computed


if __name__ == "__main__":
    main()
