"""The page as text: what it says, and that no text of a user is ever anything but text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from curator.intervals import audit_sentence
from curator.report.page import Content, page, shown
from curator.report.words import next_step
from curator.resources import first_error
from tests.reports import HOSTILE, LONG, PROMISE, full_content, full_result, pair, result


class Parsed(HTMLParser):
    """Every tag with its attributes, and the text outside of the style sheet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._parts: list[str] = []
        self.feed(text)
        self.text = " ".join("".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"td", "th", "dd", "dt"}:
            self._parts.append(" ")

    def handle_data(self, data: str) -> None:
        if self.lasttag != "style":
            self._parts.append(data)

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def parsed(*, content: Content | None = None, **changes: Any) -> Parsed:
    return Parsed(page(content or Content(result(**changes))))


def test_the_made_up_results_are_such_as_a_run_has() -> None:
    assert first_error("run", result()) is None
    assert first_error("run", full_result()) is None


def test_equal_contents_give_equal_bytes() -> None:
    assert page(full_content()) == page(full_content())


def test_hostile_texts_bring_no_element_and_no_attribute_with_them() -> None:
    found = parsed(content=full_content())
    tame = parsed(content=full_content(examples=[pair("tame", decision=kind) for kind in ("accept", "abstain")]))
    assert found.names() == tame.names()
    assert not found.names() & {"script", "img", "iframe", "object", "embed", "form", "a", "base"}
    assert [tag for tag, _ in found.tags].count("h1") == 1
    assert [tag for tag, _ in found.tags].count("style") == 1
    for tag, attributes in found.tags:
        assert not {name for name in attributes if name.startswith("on")}, tag
        for name in ("href", "src"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), tag
    for name in ("judge 1 <em>&</em>", "<u>law</u>", PROMISE, "<p = 0.001>", "judge <0>"):
        assert name in found.text
    for text in HOSTILE[:3]:
        assert " ".join(text.split()) in found.text


def test_nothing_outside_is_named() -> None:
    text = page(full_content())
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    policy = dict(next(a for tag, a in Parsed(text).tags if a.get("http-equiv") == "Content-Security-Policy"))
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")


def test_what_would_hide_or_turn_text_is_shown() -> None:
    text = page(full_content())
    assert "\u27e8U+202E\u27e9turned round\u27e8U+202C\u27e9 \u27e8U+001B\u27e9[31mred" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
    assert shown("tab\tline\r\nkept, \N{FAMILY}\u200d") == "tab\tline\nkept, \N{FAMILY}\u200d"
    assert shown(3) == 3


def test_long_texts_are_cut_and_say_so() -> None:
    text = page(full_content())
    assert "w" * 501 not in text
    assert "characters left out" in text
    assert "[... 291 lines left out ...]" in text
    assert "v" * 61 not in text
    assert len(text) < 400_000


def test_the_promise_stands_as_it_is_in_the_first_place() -> None:
    text = parsed().text
    assert text.index(PROMISE) < text.index("70.2%") < text.index("What to do next")
    assert text.count(PROMISE) == 1


def test_a_plain_result_has_no_section_that_is_empty() -> None:
    text = parsed().text
    for absent in ("Groups", "Doubts", "The error that was bought", "Cascade", "Combined", "Some accepted", "One order",
                   "numbers of this figure", "Is its probability right"):  # fmt: skip
        assert absent not in text
    assert "right on the labelled pairs 81.7% (245 of 300)" in text
    assert "failed 7 × the server said <i>no</i>" in text
    assert "1,234,567, 1,387 a pair" in text
    assert "served by a prefix cache 64.8% of them" in text
    assert "BPE 0.596, where the better response has 0.7161" in text


def test_all_that_a_result_may_hold() -> None:
    text = parsed(content=full_content(looks={"sweep": 2, "plan": 1})).text
    assert "88 are labelled, 3 of them not as the judge did" in text
    assert "between 0.0071 and 0.0964 (95% interval, Clopper-Pearson)" in text
    assert "Pool and calibration rows differ in length" in text
    assert "together 87.0% 0.800 70.2% – 890 1,234,567 64.8%" in text
    assert "judge 2 <em>&</em> 84.0% 0.730 70.0% 57.0% 898 1,000,000 62.0%" in text
    assert "put together by the mean of their log-odds where one has failed the pair is left to people" in text
    assert "judge 2 <em>&</em> read 31.0% of the pairs" in text
    assert "less than 0.9 (fitted). 74.0% of the tokens are its own" in text
    assert "Groups by <topic>" in text
    assert "code 100 12 120 200 60.0% 0.4124" in text
    assert "<u>law</u> 100 12 0 200 0% –" in text
    assert f"code, {LONG}: {PROMISE}" in text
    assert "<u>law</u>, (all others): No threshold." in text
    assert "threshold one within each group" in text
    assert "2 h 3 min for 1,800 judgments" in text
    assert "picking another after looking is a choice it does not cover" in text
    assert "people prefer the other" in text
    assert "looked at before sweep (2×), plan (1×)" in text


def test_other_panels() -> None:
    panel = {"combine": "fitted", "missing": "mean", "weights": [1.5, 0.5, 1.0], "cascade": None}
    text = parsed(**{**full_result(groups=None, panel=panel)}).text
    assert "put together by their log-odds with fitted weights (1.5, 0.5, 1)" in text
    assert "the others decide" in text
    assert "cascade" not in text
    judges = full_result()["judges"]
    recorded = [{**judge, "engine": "recorded", "tokens": 0, "cached_tokens": 0, "accuracy": None} for judge in judges]
    text = parsed(**full_result(judges=recorded, tokens=0, cached_tokens=0)).text
    assert "judge 1 <em>&</em> – 0.720 60.0% 57.0% 899 0 –" in text
    assert "not known: the judgments were recorded elsewhere" in text


def test_a_page_bears_any_number_of_groups() -> None:
    one = full_result()["groups"][0]
    groups = [{**one, "group": f"group {i}"} for i in range(20_000)]
    text = page(Content(full_result(groups=groups)))
    assert "19,800 more groups are in run.json" in text
    assert "group 199" in text
    assert "group 200" not in text
    assert len(text) < 200_000


def test_what_a_judge_goes_by() -> None:
    bias = {"first_shown_preferred": 0.61, "longer_preferred": 0.66, "longer_preferred_there": 0.7,
            "longer_preferred_by_people": 0.52, "label_mass_median": 0.93}  # fmt: skip
    text = parsed(judge={**result()["judge"], "bias": bias}, judge_ties=12).text
    assert "the response shown first wins 61.0% of replies" in text
    assert "the longer response wins 66.0%; on labelled pairs 70.0%, by people 52.0%" in text
    assert "label mass 93.0% of the probability is on the labels" in text
    assert "called equal 12 pairs" in text
    assert "suspects 4 pairs of which a response talks to the judge; people decide" in text


def test_an_audit_says_no_more_than_its_labels_do() -> None:
    audit = {**full_result()["audit"], "ties_left_out": 4, "low": None, "high": None}
    for one in (audit, {**audit, "labelled": 0}, full_result()["audit"]):
        assert audit_sentence(one) in parsed(audit=one).text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "rain on the data set, or have people label the 179 pairs"),
        ({"queue": {"tasks": 0, "calibration_draw": 0}}, "Nothing is left for people"),
        ({"threshold": None, "judged": 0}, "et judgments"),
        ({"threshold": None, "labels_missing": None}, "More labels would not help"),
        ({"threshold": None, "labels_missing": 700}, "About 700 more labels would help, and there are 600 pairs"),
        (
            {"threshold": None, "labels_missing": 60, "queue": {"tasks": 600, "calibration_draw": 50}},
            "label the first 50 pairs",
        ),
        ({"pool": 0, "threshold": None}, "Nothing is left for people"),
    ],
)
def test_what_to_do_next(changes: dict[str, Any], says: str) -> None:
    assert says in next_step(result(**changes))[0]
    assert says in parsed(**changes).text


def test_headlines() -> None:
    assert "421 of 600 pairs are auto-labelled" in parsed().text
    assert "None of 600 pairs is auto-labelled" in parsed(accepted=0, threshold=None).text
    assert "People have labelled every pair" in parsed(pool=0, accepted=0, threshold=None).text
    assert "do not train" not in parsed().text.lower()
    assert "Do not train on its labels" in parsed(judge={**result()["judge"], "demonstration": True}).text


def test_a_pair_shows_the_preferred_response_first_and_what_people_say() -> None:
    rows = [
        pair("x", p_a=0.2, verdict="a"), pair("x", p_a=0.2, verdict="b"), pair("x", p_a=0.8, verdict="tie"),
        pair("x", p_a=0.5, decision="abstain", reason="no preference", verdict="skip"), pair("x", p_a=0.9),
        pair("x", p_a=0.2, p_b=0.1, p_tie=0.7, decision="abstain"),
    ]  # fmt: skip
    text = parsed(content=Content(result(), examples=rows)).text
    articles = text.partition("evenly by rank.")[2].split("Accepted at ")[1:]
    assert [part.partition("%")[0] for part in articles] == ["80.0", "80.0", "80.0", "90.0"]
    assert "people prefer the other. Prompt, last of 2 messages x Chosen b x Rejected a x" in articles[0]
    assert "people prefer this one too" in articles[1]
    assert "people call it a tie" in articles[2]
    assert "threshold. Prompt" in articles[3]
    assert "The judge calls them equal BPE 0.5" in text
    assert "No preference BPE 0.5; no preference; people cannot say" in text
