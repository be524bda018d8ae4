"""Judge prompts: responses stay data, nothing vanishes silently, and what is cut is seen to be cut."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from curator.errors import RecipeError
from curator.pair import Message, Order
from curator.prompts import (
    CUT_MARK,
    Kind,
    Question,
    Template,
    cut_middle,
    defang,
    prompt_from_json,
    prompt_json,
    shorten,
)
from curator.recipes import load_template
from curator.resources import folder
from curator.rubric import Criterion, Rubric
from tests.test_tokenizer import chatml

SHIPPED = sorted(path.stem for path in (folder("recipes") / "templates").glob("*.yaml"))


def template(user: str, **changes: Any) -> Template:
    values = {"name": "t", "kind": "chat", "labels": ["A", "B"], "user": user, **changes}
    return Template.from_mapping(values)


def question(*contents: str, first: str = "one", second: str = "two") -> Question:
    roles = ("user", "assistant")
    turns = tuple(Message(roles[i % 2], content) for i, content in enumerate(contents or ("why?",)))
    return Question("p", Order.AB, turns, first, second)


JINJA = [
    "{{ 7*7 }}",
    "{% raw %}",
    "{% endraw %}",
    "{# no #}",
    "{{ first }}",
    "{%- set x = 1 -%}",
    "{{ ''.__class__ }}",
    "# x",
    "{{",
]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("text", JINJA)
def test_contents_are_never_template_text(name: str, text: str) -> None:
    asked = question(text, first=text + " 1", second=text + " 2")
    rendered = "\n".join(message.content for message in load_template(name).render(asked))
    assert rendered.count(text) == 3
    assert f"{text} 1" in rendered
    assert "49" not in rendered


@pytest.mark.parametrize("name", SHIPPED)
@given(st.lists(st.text(), min_size=1, max_size=4), st.text(), st.text())
def test_shipped_templates_show_everything(name: str, contents: list[str], first: str, second: str) -> None:
    if len(contents) % 2 == 0:
        contents.append("and then?")
    rendered = load_template(name).render(question(*contents, first=first, second=second))
    text = "\n".join(message.content for message in rendered)
    places = [text.find(content) for content in contents]
    assert min(places) >= 0
    assert first in text
    assert second in text


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_templates(name: str) -> None:
    shipped = load_template(name)
    assert shipped.name == name
    single = shipped.render(question("why?", first="ONE", second="TWO"))
    many = shipped.render(question("why?", "because", "really?", first="ONE", second="TWO"))
    for messages, turns in ((single, ["why?"]), (many, ["User: why?", "Assistant: because", "User: really?"])):
        roles = [message.role for message in messages]
        assert roles == (["system", "user"] if shipped.kind is Kind.CHAT else ["completion"])
        text = messages[-1].content
        places = [text.index(shown) for shown in [*turns, "ONE", "TWO"]]
        assert places == sorted(places), "what both orders share stands first, so that a prefix cache serves it"
        assert text == text.rstrip(), "a label follows without a space of its own"
    assert "User:" not in single[-1].content
    if shipped.kind is Kind.CHAT:
        assert single[0] == many[0]


@pytest.mark.parametrize("name", SHIPPED)
def test_swapping_responses_swaps_them_in_the_prompt(name: str) -> None:
    shipped = load_template(name)
    one = shipped.render(question(first="ONE", second="TWO"))[-1].content
    other = shipped.render(question(first="TWO", second="ONE"))[-1].content
    assert one != other
    assert one.replace("ONE", "x").replace("TWO", "ONE").replace("x", "TWO") == other


@pytest.mark.parametrize(
    "source",
    [
        "{{ first.__class__ }}",
        "{{ first.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ conversation.append(1) }}",
        "{{ conversation[0].clear() }}",
        "{{ first.format.__globals__ }}",
        "{{ '{0.__class__}'.format(first) }}",
        "{{ self.__init__.__globals__ }}",
    ],
)
def test_templates_are_sandboxed(source: str) -> None:
    with pytest.raises(RecipeError, match="template 't'"):
        template(source).render(question())


@pytest.mark.parametrize(
    "source", ["{{ response_a }}", "{{ order }}", "{{ conversation[0].name }}", "{{ conversation[5].role }}"]
)
def test_unknown_names_are_errors(source: str) -> None:
    with pytest.raises(RecipeError, match=r"template 't': .*(undefined|no attribute|no element)"):
        template(source).render(question())


@pytest.mark.parametrize("source", ["{{ first + 1 }}", "{{ 1 // 0 }}", "{{ range(10**9) | list }}"])
def test_errors_of_python_in_a_template_are_the_templates_fault(source: str) -> None:
    with pytest.raises(RecipeError, match="template 't'"):
        template(source).render(question())


@pytest.mark.parametrize("source", ["{{", "{% for %}", "{% include 'x' %}{{", "{{ first | nofilter }}"])
def test_syntax_errors_surface_at_once(source: str) -> None:
    with pytest.raises(RecipeError, match="template 't', line 1: "):
        template(source)


@pytest.mark.parametrize(
    "source", ["{% include '/etc/passwd' %}", "{% import 'os' as os %}{{ os }}", "{% extends 'x' %}"]
)
def test_templates_reach_no_files(source: str) -> None:
    with pytest.raises(RecipeError, match="template 't'"):
        template(source).render(question())


def test_an_empty_system_message_is_left_out() -> None:
    assert template("{{ first }}").render(question()) == [Message("user", "one")]
    assert template("{{ first }}", system="{% if false %}x{% endif %}").render(question()) == [Message("user", "one")]


def test_digest_holds_all_that_reaches_the_model() -> None:
    base = {"user": "{{ first }}", "system": "s", "labels": ["A", "B"]}
    changes: list[dict[str, Any]] = [
        {},
        {"user": "{{ second }}"},
        {"system": "t"},
        {"labels": ["B", "A"]},
        {"labels": ["A", "C"]},
    ]
    found = [template(**{**base, **change}).digest for change in changes]
    assert len(set(found)) == len(changes)
    assert template(**{**base, "name": "other"}).digest == found[0]
    completion = Template.from_mapping({"name": "t", "kind": "completion", "labels": ["A", "B"], "text": "{{ first }}"})
    assert completion.digest != template("{{ first }}").digest


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="poem"):
        template("x", kind="poem")


CONTROL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>", "<|end|>",
    "<|START_OF_TURN_TOKEN|>", "<｜begin▁of▁sentence｜>", "<｜User｜>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>",
    "<s>", "</s>",
    "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<think>", "</think>", "<tool_call>", "</tool_call>",
    "[SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "<unk>", "<pad>",
]  # fmt: skip
MORE_CONTROL = [
    "[TOOL_CALLS]", "[TOOL_RESULTS]", "[gMASK]", "<sop>", "[|system|]", "[|endofturn|]", "<extra_id_1>", "<SPECIAL_11>",
    "<seed:bos>", "<start_of_image>", "<tool_response>",
]  # fmt: skip


@pytest.mark.parametrize("text", CONTROL + MORE_CONTROL)
def test_defang_breaks_control_tokens(text: str) -> None:
    broken = defang(f"before {text} after")
    assert text not in broken
    assert broken.replace(" ", "") == f"before{text}after"


_BITS = st.one_of(
    st.sampled_from(CONTROL),
    st.sampled_from(CONTROL).flatmap(lambda text: st.integers(1, len(text)).map(lambda i: text[:i])),
    st.sampled_from(CONTROL).flatmap(lambda text: st.integers(0, len(text) - 1).map(lambda i: text[i:])),
    st.text(max_size=3),
)


@given(st.lists(_BITS, max_size=8).map("".join))
@example("<<s>s>")
@example("<|<|im_end|>|>")
def test_defang_leaves_no_control_token(text: str) -> None:
    broken = defang(text)
    assert not any(control in broken for control in CONTROL)
    assert defang(broken) == broken
    assert broken.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text", ["a < b and c > d", "<div>text</div>", "x[0]", "a|b|c", "1 <| 2", "[x](y)", "<https://a.b>"]
)
def test_defang_leaves_other_text_alone(text: str) -> None:
    assert defang(text) == text


@given(st.text(max_size=200), st.integers(0, 250))
def test_cut_middle(text: str, most: int) -> None:
    cut = cut_middle(text, most)
    if len(text) <= most:
        assert cut == text
        return
    found = re.search(r"\n\[\.\.\. (\d+) characters left out \.\.\.\]\n", cut)
    if cut == text:  # a cut that would not make it shorter
        return
    assert found is not None
    left_out = int(found[1])
    head, tail = cut[: found.start()], cut[found.end() :]
    assume(text.count("characters left out") == 0)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) + left_out == len(text)
    assert len(head) + len(tail) <= most
    assert 0 <= len(head) - len(tail) <= 1


@given(st.text(max_size=200), st.integers(0, 250))
def test_cut_middle_never_makes_a_text_longer(text: str, most: int) -> None:
    assert len(cut_middle(text, most)) <= len(text)


TEXT = st.integers(0, 400).map(lambda count: ("abcdefghij" * 40)[:count])


@given(st.lists(TEXT, min_size=1, max_size=5), TEXT, TEXT, st.integers(0, 1500))
def test_shorten(contents: list[str], first: str, second: str, most: int) -> None:
    def size(asked: Question) -> int:
        return sum(len(text) for text in (asked.first, asked.second, *(m.content for m in asked.conversation)))

    asked = question(*contents, first=first, second=second)
    assume(size(asked) > most)
    found = shorten(asked, lambda candidate: size(candidate) <= most)
    marks = (2 + len(contents)) * len(CUT_MARK.format(count=1000))
    if found is None:
        assert most < marks + 16 * (2 + len(contents))
        return
    assert size(found) <= most
    assert (found.pair_id, found.order) == (asked.pair_id, asked.order)
    assert [m.role for m in found.conversation] == [m.role for m in asked.conversation]
    assert "characters left out" in found.first + found.second + "".join(m.content for m in found.conversation)
    # One common length: no text is cut that is shorter than what is left of another.
    before = [*(m.content for m in asked.conversation), asked.first, asked.second]
    after = [*(m.content for m in found.conversation), found.first, found.second]
    whole = [len(old) for old, new in zip(before, after, strict=True) if old == new]
    cut = [len(old) for old, new in zip(before, after, strict=True) if old != new]
    assert cut
    assert max(whole, default=0) <= min(cut) + len(CUT_MARK.format(count=1000))


def test_shorten_swapped_is_swapped() -> None:
    """Both orders of a pair lose the same text."""
    one = question("q", first="x" * 900, second="y" * 300)
    other = question("q", first="y" * 300, second="x" * 900)
    short, swapped = (shorten(q, lambda c: len(c.first) + len(c.second) <= 500) for q in (one, other))
    assert short is not None
    assert swapped is not None
    assert (short.first, short.second) == (swapped.second, swapped.first)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text()), min_size=1))
def test_prompt_json_round_trip(turns: list[tuple[str, str]]) -> None:
    prompt = tuple(Message(role, content) for role, content in turns)
    assert prompt_from_json(prompt_json(prompt)) == prompt


def test_a_persona_differs_from_the_template_it_extends_in_the_system_message_alone(tmp_path: Path) -> None:
    chat = load_template("chat")
    personas = [load_template(name) for name in ("persona_expert", "persona_reader")]
    for persona in personas:
        assert (persona.user, persona.labels, persona.kind) == (chat.user, chat.labels, chat.kind)
    assert len({template.digest for template in (chat, *personas)}) == 3
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\nextends: chat_ties\nsystem: be brief\n")
    assert load_template(str(mine)).labels == ("A", "B", "C")
    mine.write_text("name: mine\nextends: completion\nsystem: be brief\n")
    with pytest.raises(RecipeError, match="must be a chat template"):
        load_template(str(mine))
    mine.write_text("name: mine\nextends: chat\nuser: other\nsystem: be brief\n")
    with pytest.raises(RecipeError):
        load_template(str(mine))
    mine.write_text("name: mine\nextends: chat\nsystem: be brief\n")
    with pytest.raises(RecipeError, match="template 'mine' takes no rubric"):
        load_template(str(mine)).by(RUBRIC)
    mine.write_text("name: mine\nextends: chat\nsystem: be brief\nwith_criteria: '{{ criteria[0].name }}!'\n")
    assert load_template(str(mine)).by(RUBRIC).render(question())[0].content == "brief!"
    mine.write_text("name: mine\nextends: chat\nsystem: be brief\nwith_criteria: '{{'\n")
    with pytest.raises(RecipeError, match="template 'mine', line 1"):
        load_template(str(mine))


RUBRIC = Rubric("mine", (Criterion("brief", "Shorter is better.", 2), Criterion("kind", "It insults nobody.")))
WITH_RUBRIC = ["chat", "chat_ties", "persona_expert", "persona_reader"]


@pytest.mark.parametrize("name", WITH_RUBRIC)
def test_a_rubric_takes_the_place_of_a_templates_own_points(name: str) -> None:
    plain = load_template(name)
    both = plain.by(RUBRIC)
    (system, user), (_, before) = both.render(question("why?")), plain.render(question("why?"))
    assert "1. brief (weight 2): Shorter is better.\n2. kind: It insults nobody.\n" in system.content
    assert "Correctness: facts" not in system.content
    assert "this criterion" not in system.content
    # All that pairs do not share comes behind the rubric, so that a prefix cache serves it.
    assert user == before
    assert (both.labels, both.name) == (plain.labels, plain.name)
    for asked in ("They may contain requests", "and nothing else."):
        assert asked in system.content


@pytest.mark.parametrize("name", WITH_RUBRIC)
@pytest.mark.parametrize("text", JINJA)
def test_criteria_are_never_template_text(name: str, text: str) -> None:
    rubric = Rubric("r", (Criterion(f"{text} name", f"{text} text"),))
    system = load_template(name).by(rubric).render(question())[0].content
    assert f"1. {text} name: {text} text\n" in system
    assert "by this criterion, and by nothing else:" in system.replace("Go by", "by")


@pytest.mark.parametrize("name", WITH_RUBRIC)
def test_control_tokens_in_criteria_are_ordinary_text(name: str) -> None:
    """A criterion may be about them ("leaves no <|im_end|> behind")."""
    rubric = Rubric("r", (Criterion("no <|im_end|>", "It shows no <|im_start|>."),))
    model = chatml()
    end = model.original.token_to_id("<|im_end|>")
    plain, with_rubric = load_template(name), load_template(name).by(rubric)
    assert [model.judge.encode(one, question()).count(end) for one in (plain, with_rubric)] == [2, 2]
    assert "no < |im_end|>: It shows no < |im_start|>." in with_rubric.render(question(), defang)[0].content


def test_a_rubric_makes_another_judge_and_none_leaves_it_as_it_was() -> None:
    # Judgments in people's stores go by these: a change asks every judge about every pair again.
    known = {
        "chat": "8b30e6d93bb206bcc5a4a5be230892c1",
        "chat_ties": "48fe1fa9aec06027fa25604ee6e9ea55",
        "completion": "082640923f5952c4b3963274d6618078",
        "persona_expert": "8bdd9c5728bb91d139bbb75a37f7c5ae",
        "persona_reader": "251e65f08aa3b13cf1207f275996db59",
    }
    assert {name: load_template(name).digest for name in SHIPPED} == known
    chat = load_template("chat")
    first, second = RUBRIC.criteria
    rubrics = [
        RUBRIC,
        Rubric("mine", (second, first)),
        Rubric("mine", (first,)),
        Rubric("mine", (Criterion("brief", "Shorter is better."), second)),
        Rubric("mine", (Criterion("short", "Shorter is better.", 2), second)),
    ]
    found = {chat.by(rubric).digest for rubric in rubrics}
    assert len(found | {chat.digest}) == len(rubrics) + 1
    assert chat.by(Rubric("other", RUBRIC.criteria)).digest in found
    assert chat.settings == {"template": "chat", "template_digest": chat.digest}
    with_rubric = chat.by(RUBRIC)
    assert with_rubric.settings == {
        "template": "chat", "template_digest": with_rubric.digest, "rubric": "mine", "criteria": ["brief", "kind"],
    }  # fmt: skip
    assert (with_rubric.judge_name("m"), chat.judge_name("m")) == ("m", "m")
    assert chat.by(rubrics[2]).judge_name("m") == "m, brief"


def test_a_judge_with_a_rubric_can_be_sent_to_another_process() -> None:
    with_rubric = load_template("chat").by(RUBRIC)
    with_rubric.render(question())
    again = pickle.loads(pickle.dumps(with_rubric))
    assert again.digest == with_rubric.digest
    assert again.render(question()) == with_rubric.render(question())


def test_a_rubric_judged_apart_makes_a_judge_a_criterion() -> None:
    apart = Rubric("r", (Criterion("one", "1"), Criterion("two", "2")), apart=True)
    assert [rubric.criteria for rubric in apart.judges()] == [(one,) for one in apart.criteria]
    assert RUBRIC.judges() == (RUBRIC,)
    assert (str(apart), str(RUBRIC)) == ("r (one, two; apart)", "mine (brief, kind)")
