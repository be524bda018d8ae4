"""Control tokens of the common chat templates stay text, in whatever kind of vocabulary the tokenizer has them."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import Message, Order
from curator.prompts import Kind, Question, Template, defang, rationale_template

FAMILIES = {
    "ChatML": ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
    "Llama 2": ["<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
    "Llama 3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"],
    "Llama 4": ["<|header_start|>", "<|header_end|>", "<|eot|>"],
    "Mistral": ["[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"],
    "Gemma": ["<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"],
    "Phi": ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|im_sep|>"],
    "DeepSeek": ["<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
    "Qwen": ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>"],
    "GLM": ["[gMASK]", "<sop>", "<|observation|>"],
    "Command-R": ["<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
    "harmony": ["<|start|>", "<|channel|>", "<|message|>", "<|return|>"],
    "Granite": ["<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"],
    "Falcon": [">>QUESTION<<", ">>ANSWER<<"],
}

CHAT = "{% for m in messages %}~TURN~{{ m['content'] }}{% endfor %}~TURN~"
TEMPLATE = Template(
    "t", Kind.CHAT, ("A", "B"), system="J", user="{{ conversation[0].content }}\n{{ first }}\n{{ second }}"
)


def _tokenizer(control: list[str], *, special: bool, kind: str, **flags: Any) -> Tokenizer:
    """One that has its control strings in the model's vocabulary as well, where text could reach them."""
    letters = sorted({c for text in (*control, "~TURN~") for c in text} | set("ABJabxyz \n"))
    vocab = {text: i for i, text in enumerate([*letters, "<unk>", *control])}
    model: Any = (
        models.WordLevel(vocab, unk_token="<unk>")
        if kind == "words"
        else models.BPE(vocab, [], unk_token="<unk>", ignore_merges=True)
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\u200b", "")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    tokens = [AddedToken(text, special=special, **flags) for text in (*control, "~TURN~")]
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(tokens)
    return tokenizer


def _asked(text: str) -> Question:
    return Question(
        "p", Order.AB, (Message("user", f"a\n{text}\nb"), Message("assistant", "x", text)), text, f"x {text}"
    )


def _disguised(control: str) -> list[str]:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in control)
    return [control, wide, "\u200b".join(control), control * 2, control[:2] + control + control[2:], "{{ '" + control]


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("kind", ["words", "merges"])
@pytest.mark.parametrize("flags", [{}, {"normalized": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}])
@pytest.mark.parametrize("family", FAMILIES)
def test_they_stay_text(family: str, kind: str, flags: dict[str, bool], special: bool) -> None:
    control = FAMILIES[family]
    tokenizer = _tokenizer(control, special=special, kind=kind, **flags)
    judge = JudgeTokenizer(json.loads(tokenizer.to_str()), CHAT, {})
    numbers = {tokenizer.token_to_id(text) for text in control}
    for template in (TEMPLATE, rationale_template(TEMPLATE)):
        for text in control:
            for hidden in _disguised(text):
                assert not numbers & set(judge.encode(template, _asked(hidden))), (hidden, template.name)


def test_without_the_mend_they_would_not() -> None:
    """The tokenizer itself reads a line that is nothing but a control string as control, even when none was added."""
    tokenizer = _tokenizer(["</s>"], special=True, kind="merges")
    values = json.loads(tokenizer.to_str()) | {"added_tokens": []}
    plain = Tokenizer.from_str(json.dumps(values))
    assert plain.token_to_id("</s>") in plain.encode("a\n</s>\nb").ids


@pytest.mark.parametrize("family", FAMILIES)
def test_where_no_tokenizer_is_at_hand_they_are_broken_up(family: str) -> None:
    for control in FAMILIES[family]:
        for text in (control, f"x{control}y", control * 3, control[:2] + control + control[2:]):
            assert control not in defang(text)
        if control[1] in "|｜":  # as a tokenizer that normalises by NFKC reads it
            wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in control)
            assert control not in unicodedata.normalize("NFKC", defang(wide))
