"""The chain's laws, on rows alone: whatever is done to one of them is found."""

from dataclasses import asdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from registry_hooks.ledger.chain import Mark, verify
from registry_hooks.ledger.entry import COLUMNS, GENESIS, Draft, entry_of, hash_of, row_of

Row = dict[str, Any]

texts = st.text(max_size=12)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
drafts = st.builds(
    Draft,
    key=texts,
    at=st.floats(allow_nan=False, allow_infinity=False),
    model=texts,
    kind=texts,
    who=texts,
    from_version=st.none() | texts,
    to_version=st.none() | texts,
    epoch=st.integers(0, 2**62),
    reason=texts,
    evidence=st.dictionaries(texts, values, max_size=3),
    state=st.dictionaries(texts, values, max_size=3),
)


def _chained(contents: list[Draft]) -> list[Row]:
    rows: list[Row] = []
    for number, content in enumerate(contents, 1):
        rows.append(row_of(content, number, 1, rows[-1]["hash"] if rows else GENESIS))
    return rows


def _head(rows: list[Row]) -> Mark:
    return Mark(rows[-1]["seq"], rows[-1]["hash"])


plain_drafts = st.builds(
    lambda text, number: Draft(text, number, text, "held", "alice", None, text, number, text, {"n": number}, {"stable": text}),
    texts,
    st.integers(0, 10**9),
)
chains = st.lists(plain_drafts, min_size=1, max_size=6).map(_chained)
numbers = st.integers(-(2**62), 2**62)
anything = st.none() | numbers | st.floats() | texts | st.binary(max_size=4)


@given(drafts)
def test_a_row_holds_all_of_its_draft(content: Draft) -> None:
    entry = entry_of(row_of(content, 3, 7, GENESIS))
    assert asdict(content).items() <= asdict(entry).items()
    assert (entry.seq, entry.generation, entry.previous_hash) == (3, 7, GENESIS)


@given(drafts)
def test_a_draft_of_an_entrys_members_is_the_same_draft(content: Draft) -> None:
    assert Draft(**asdict(content)) == content


@given(chains)
def test_a_chain_as_written_is_sound(rows: list[Row]) -> None:
    found = verify(rows, _head(rows), [Mark(), Mark(rows[0]["seq"], rows[0]["hash"])])
    assert (found.sound, found.rows, found.head) == (True, len(rows), rows[-1]["hash"])


@given(chains, st.data())
def test_any_other_value_in_any_column_is_found_in_its_row(rows: list[Row], data: st.DataObject) -> None:
    head, place = _head(rows), data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from([*COLUMNS, "hash"]))
    new = data.draw(numbers if column == "seq" else anything)
    if (type(new), new) == (type(rows[place][column]), rows[place][column]):
        return
    rows[place][column] = new
    found = verify(rows, head)
    assert not found.sound
    if column != "seq":
        assert found.first_bad == place + 1


@given(chains, st.data())
def test_a_rewritten_row_with_a_hash_that_fits_is_found(rows: list[Row], data: st.DataObject) -> None:
    head, place = _head(rows), data.draw(st.integers(0, len(rows) - 1))
    rows[place]["who"] += "!"
    rows[place]["hash"] = hash_of(rows[place])
    found = verify(rows, head)
    assert found.first_bad in {place + 1, place + 2}
    assert found.rows in {place, place + 1}


@given(chains, st.data())
def test_a_removed_row_is_found_at_its_number(rows: list[Row], data: st.DataObject) -> None:
    head = _head(rows)
    removed = rows.pop(data.draw(st.integers(0, len(rows) - 1)))
    assert verify(rows, head).first_bad == removed["seq"]


@given(st.lists(plain_drafts, min_size=2, max_size=6).map(_chained), st.data())
def test_rows_that_change_places_are_found(rows: list[Row], data: st.DataObject) -> None:
    head = _head(rows)
    first, second = sorted(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2, unique=True)))
    one, other = rows[first], rows[second]
    one["seq"], other["seq"] = other["seq"], one["seq"]
    rows[first], rows[second] = other, one
    assert verify(rows, head).first_bad == first + 1


@given(chains, plain_drafts, st.data())
def test_an_inserted_row_is_found(rows: list[Row], content: Draft, data: st.DataObject) -> None:
    head, place = _head(rows), data.draw(st.integers(0, len(rows)))
    before = rows[place - 1]["hash"] if place else GENESIS
    rows.insert(place, row_of(content, place + 1, 1, before))
    for later in rows[place + 1 :]:
        later["seq"] += 1
    found = verify(rows, head)
    assert found.first_bad is not None
    assert found.first_bad >= place + 1


@given(chains, plain_drafts, st.data())
def test_a_past_written_anew_with_its_head_is_found_by_a_mark(rows: list[Row], content: Draft, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    mark = Mark(rows[-1]["seq"], rows[-1]["hash"])
    forged = rows[:place]
    for number in range(place + 1, len(rows) + 1):
        forged.append(row_of(content, number, 1, forged[-1]["hash"] if forged else GENESIS))
    found = verify(forged, _head(forged), [mark])
    assert found.sound == (forged == rows)
