"""Canonical JSON: one form for equal requests; the quick reader and the plain one never disagree."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smartcontracts import canonical_json as c

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.one_of(
    st.integers(-(10**22), 10**22).map(str),
    st.decimals(-(10**12), 10**12, places=6).map(str),
    st.tuples(st.integers(-999, 999), st.integers(-12, 12)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
)


@st.composite
def json_texts(draw):
    """JSON in any form: keys in any order, white space, escapes, numbers in several spellings."""

    def write(value):
        space = draw(st.sampled_from(["", "", "", " ", "\n\t"]))
        if isinstance(value, dict):
            inner = ",".join(f"{json.dumps(k, ensure_ascii=draw(st.booleans()))}:{write(v)}" for k, v in value.items())
            return f"{space}{{{inner}}}"
        if isinstance(value, list):
            return f"[{','.join(write(v) for v in value)}{space}]"
        if isinstance(value, tuple):
            return space + value[0]
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    leaves = st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS.map(lambda n: (n,)))
    values = st.recursive(
        leaves, lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(TEXTS, v, max_size=4)), max_leaves=12
    )
    return write(draw(values)).encode()


@given(json_texts())
def test_canonical_form_is_reached_in_one_step_and_means_the_same(data):
    once = c.canonical(data, "x")
    assert c.canonical(once, "x") == once
    assert json.loads(once, parse_float=float, parse_int=float) == json.loads(data, parse_float=float, parse_int=float)


@given(json_texts())
def test_the_quick_reader_never_disagrees_with_the_plain_one(data):
    for text in (data, c.canonical(data, "x")):
        quick = c._load_quick(text)
        if isinstance(quick, c._Unsure):
            continue
        assert c.dump(quick) == text
        assert quick == c.load(text, "x")


TOKENS = st.sampled_from(
    [
        '"a"',
        '"b"',
        '"\\n"',
        '"\\u0001"',
        '"["',
        '"',
        "\\",
        "\x1f",
        " ",
        *[
            ":",
            ",",
            "{",
            "}",
            "[",
            "]",
            "1",
            "0",
            "-",
            "-0",
            "1.5",
            "1.50",
            "01",
            "1e5",
            "true",
            "null",
            "NaN",
            "Infinity",
        ],
    ]
)


@given(st.lists(TOKENS, max_size=12).map("".join))
@example('{"a":1,"a":1}')
@example('{"b":1,"a":1}')
@example("1.50")
@example("01")
@example("-0")
@example("[-0.5]")
def test_what_the_quick_reader_takes_is_canonical_whatever_tokens_it_gets(text):
    data = text.encode()
    quick = c._load_quick(data)
    if not isinstance(quick, c._Unsure):
        assert c.dump(c.load(data, "x")) == data


def test_the_sample_forms_are_taken_the_quick_way():
    data = b'{"a":[1,-2.5,0.001,true,null],"b":{"c":"\\"\\n\xc3\xa9"}}'
    assert not isinstance(c._load_quick(data), c._Unsure)
    assert c.require_canonical(data, "x") == c.load(data, "x")


SPELLINGS = [
    (b"1.50e1", b"15"),
    (b"-0.0", b"0"),
    (b"1E-3", b"0.001"),
    (b"100", b"100"),
    (b"1e2", b"100"),
    (b"-1.10", b"-1.1"),
    (b"0e9999", b"0"),
    (b'"\\u00e9\\/"', '"é/"'.encode()),
    (b'"\\u0008\\u001F\\u007f"', b'"\\b\\u001f\x7f"'),
    (b'{"b":1,"a":2}', b'{"a":2,"b":1}'),
    (b'{"\\ud83d\\ude00":1,"\xef\xbf\xbd":2}', '{"\ufffd":2,"\U0001f600":1}'.encode()),
    (b" [ ] ", b"[]"),
    (b'{"":{}}', b'{"":{}}'),
]


@pytest.mark.parametrize(("given_form", "canonical_form"), SPELLINGS)
def test_spellings_of_one_value_have_one_form(given_form, canonical_form):
    assert c.canonical(given_form, "x") == canonical_form
    assert c.require_canonical(canonical_form, "x") == c.load(given_form, "x")
    if given_form != canonical_form:
        with pytest.raises(c.JsonNotCanonical):
            c.require_canonical(given_form, "x")


def nested(levels):
    return b"[" * levels + b"]" * levels


REFUSED = [
    (c.JsonTooLarge, b'"' + b"a" * (c.JSON_BYTES_MAX - 1) + b'"'),
    (c.JsonMalformed, b"\xff"),
    (c.JsonMalformed, b""),
    (c.JsonMalformed, b"[1,]"),
    (c.JsonMalformed, b"01"),
    (c.JsonMalformed, b"1 1"),
    (c.JsonMalformed, b'"\x01"'),
    (c.JsonMalformed, b'"\\ud800"'),
    (c.JsonMalformed, b'{"\\udfff":1}'),
    (c.JsonMalformed, "\ufeff1".encode()),
    (c.JsonTooDeep, nested(c.JSON_LEVELS_MAX + 1)),
    (c.JsonTooDeep, nested(100)),
    (c.JsonTooDeep, b'{"a":' * 33 + b"1" + b"}" * 33),
    (c.JsonTooDeep, b"[" * 200_000),
    (c.JsonTooDeep, b'["]]",' * 33 + b"1" + b"]" * 33),
    (c.JsonKeyDoubled, b'{"a":1,"a":1}'),
    (c.JsonKeyDoubled, b'{"a":1,"\\u0061":2}'),
    (c.JsonNumberInvalid, b"1e400"),
    (c.JsonNumberInvalid, b"1e-400"),
    (c.JsonNumberInvalid, b"1e99999"),
    (c.JsonNumberInvalid, b"NaN"),
    (c.JsonNumberInvalid, b"-Infinity"),
    (c.JsonNumberInvalid, b"1" * (c.NUMBER_DIGITS_MAX + 1)),
    (c.JsonNumberInvalid, b"0." + b"1" * c.NUMBER_DIGITS_MAX),
    (c.JsonNumberInvalid, b"1" * 5_000),
]


@pytest.mark.parametrize(("refusal", "data"), REFUSED)
@pytest.mark.parametrize("function", [c.canonical, c.require_canonical])
def test_invalid_json_has_its_own_code(function, refusal, data):
    with pytest.raises(refusal) as caught:
        function(data, "items[0].product")
    assert caught.value.field == "items[0].product"


def test_limits_are_reached_before_they_are_passed():
    assert c.require_canonical(b'"' + b"a" * (c.JSON_BYTES_MAX - 2) + b'"', "x")
    assert c.canonical(nested(c.JSON_LEVELS_MAX), "x") == nested(c.JSON_LEVELS_MAX)
    assert c.require_canonical(nested(c.JSON_LEVELS_MAX), "x") is not None
    digits = b"1" * c.NUMBER_DIGITS_MAX
    assert c.require_canonical(digits, "x") == c.Number(digits.decode())
    assert c.require_canonical(b"0." + digits[1:], "x") == c.Number(f"0.{digits[1:].decode()}")


HOSTILE = {
    "an unclosed string of escaped quotes": b'"' + b'\\"' * 131_000,
    "a doubled key at the end of a large object": b"{"
    + b",".join(b'"%d":1' % n for n in range(25_000))
    + b',"24999":1}',
    "quotes only": b'"' * 262_000,
    "long escapes": b'"' + b"\\\\" * 131_000,
    "brackets in pairs": b"[]" * 131_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_refused_without_growing_by_the_square(data):
    begun = time.process_time()
    with pytest.raises(c.Rejected):
        c.require_canonical(data, "x")
    assert time.process_time() - begun < 2


def test_a_number_is_not_the_string_of_its_digits():
    assert c.Number("1") == c.Number("1")
    assert c.Number("1") != "1"
    assert not "1" == c.Number("1")  # noqa: SIM201, SIM300 - the other side is asked first
    assert c.load(b"[1]", "x") != c.load(b'["1"]', "x")
    assert c.dump(c.load(b'[1,"1"]', "x")) == b'[1,"1"]'
