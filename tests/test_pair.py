"""Content ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curator.pair import Message, Pair, content_id, first_by_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_different_parts_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (content_id(*one) == content_id(*other)) == (one == other)


def test_an_id_depends_on_prompt_and_responses_alone() -> None:
    pair = Pair((Message("user", "q"),), "x", "y")
    assert pair.pair_id == Pair((Message("user", "q"),), "x", "y", source_id="7", file="f", line=3).pair_id
    assert pair.pair_id != Pair((Message("user", "q"),), "y", "x").pair_id
    assert pair.pair_id != Pair((Message("system", "q"),), "x", "y").pair_id
    # Ids are stored: this one must be the same in every version.
    assert pair.pair_id == "bd0f497f1cba4f6f594741ecd1743477"


def test_the_coin_is_fair_and_falls_the_same_way_again() -> None:
    heads = [first_by_hash("seed", str(i)) for i in range(2000)]
    assert 900 < sum(heads) < 1100
    assert heads == [first_by_hash("seed", str(i)) for i in range(2000)]
    assert heads != [first_by_hash("other", str(i)) for i in range(2000)]
