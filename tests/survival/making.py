"""Makes files that are nearly right: what a fuzzer begins with, and how it changes them without losing their form."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather, ipc

from curator.formats import FORMATS
from curator.resources import folder as shipped
from tests.hostile import TEXTS
from tests.survival.targets import GOLDEN

_DEEP = "[" * 300 + "]" * 300
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e308, 5e-324, 2**63, 2**64 - 1, -(2**63), "", " ", "a", "b", "tie", "1",
    "0", "nan", "inf", "1e999", "a\0b", "\u202e", "\ufeff", "\u2028", "\ufdd0", [], {}, [None], [[]], {"": None}, ["a"],
    '["a"]', "[null]", '{"a": 1}', '["' * 9, _DEEP, '{"a":' * 300 + "1" + "}" * 300, {"role": "user", "content": "x"},
    {"role": "assistant", "content": None}, {"role": "tool", "content": "x", "tool_calls": [{"a": 1}]},
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], [{"from": "human", "value": "x"}],
    {"content": [{"text": "x"}, {"type": "image"}]}, "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
    "2026-02-30", "Human: a\n\nAssistant: b", "\n\nHuman:", "<extra_id_1>User\n", "<extra_id_1>Assistant\nx",
    "['left' 'right']", "['\\ud800']", "['\\x00']", "['\\d']", "\"'\"", "[\"it's\", None]", "a" * 9_000, "\u0301" * 999,
    *(text for text in TEXTS if len(text) < 3_000),
)  # fmt: skip

_RAW = (
    b"NaN", b"-Infinity", b"1e999", b"1E400", b"-0", b"00", b"1" * 400, b'"\\ud800"', b'"\\udc00"',
    b'"\\ud83d\\ude00"', b'"\\ud800\\u0041"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b"[" * 300, b"]" * 9, b"{",
    b"}", b'"', b",", b":", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r", b"\r\n", b"\n", b"\t", b"//x\n", b"/*x*/",
    b"'", b'""', b'","', b'",x","', b"sep=;\n", b'{"data":[', b'{"rows": [{}], "x": 1}', b"- &a [*a]",
    b"!!timestamp x", b"2001-99-99", b"!!int x", b"<<: *a", b"&a", b"*a", b"? [a]\n: b", b"|\n  x",
    b"!!python/object:os.system x", b"%YAML 9.9", b"\x85", b"\x1b[2J", b"1:1:1", b"{{ 7 ** 7 }}",
    b"{% for i in x %}", b"{{ a.__class__ }}", b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    b"{{ first[::0] }}", b"{% include 'x' %}", b"{{ raise_exception('no') }}", b"{{ messages|tojson }}", b"NOT ",
    b"((", b"'x'::INT", b" OR ", b"CAST(", b"list_transform(", b"lambda x: x", b"::JSON", b"repeat('a', 9)", b"'",
    b"--", b"/", b"%", b"**", b"SELECT", b"[1]", b"x -> x", b"COLLATE", b"error('x')", b"getenv('HOME')", b"1 = 1",
    b";",
)  # fmt: skip


def changed(data: bytes, dice: random.Random) -> bytes:
    """A file with a value of one of its rows replaced, a piece put in, taken out or doubled."""
    first, rest = (data[: data.find(b"\n") + 1], data[data.find(b"\n") + 1 :]) if data[:1] == b"#" else (b"", data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        rest = dice.choice((_value, _value, _value, _piece, _piece, _line, _cut))(rest, dice)
    if first and dice.random() < 0.03:
        first = dice.choice((b"#\n", b"#a.csv\n", b"#a.json\n", b"#a.tsv\n", b"#a.jsonl.gz\n", b"#x\n"))
    return first + rest


def _value(data: bytes, dice: random.Random) -> bytes:
    """A JSON file stays one: one of its values, or the name of one, is another."""
    lines = data.split(b"\n")
    place = dice.randrange(len(lines))
    try:
        row = json.loads(data if len(lines) > 1 and data[:1] == b"[" else lines[place])
        whole = data[:1] == b"[" and len(lines) > 1
    except (ValueError, RecursionError):
        return _piece(data, dice)
    ways = places(row)
    if not ways:
        return _piece(data, dice)
    *way, last = dice.choice(ways)
    inside = row
    for step in way:
        inside = inside[step]
    turn = dice.random()
    if turn < 0.1:
        del inside[last]
    elif turn < 0.2 and isinstance(inside, dict):
        name = dice.choice(
            (*inside, "", "id", "prompt", "label", "system", "tools", "votes", "margin", "metadata", "more")
        )
        inside[name] = inside.pop(last)
    elif turn < 0.3 and isinstance(inside, list):
        inside.append(inside[last])
    elif turn < 0.4:
        inside[last] = dice.choice(([inside[last]], {"a": inside[last]}, str(inside[last]), json.dumps(inside[last])))
    elif turn < 0.5:
        for _ in range(dice.choice((100, 245, 300))):
            inside[last] = [inside[last]]
    else:
        inside[last] = dice.choice(_VALUES)
    made = json.dumps(row, ensure_ascii=dice.random() < 0.5).encode(errors="replace")
    return made if whole else b"\n".join([*lines[:place], made, *lines[place + 1 :]])


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside another one, but for what lies very deep."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if len(way) > 12:
        return []
    return [place for key, one in inside for place in [(*way, key), *places(one, (*way, key))]]


def _piece(data: bytes, dice: random.Random) -> bytes:
    marks = [match.start() for match in re.finditer(rb"[\[\]{}\",:\n ]", data[:20_000])]
    at = dice.choice(marks) if marks and dice.random() < 0.8 else dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(_RAW) + data[at + dice.choice((0, 0, 1, 3)) :]


def _line(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = dice.randrange(len(lines))
    return b"\n".join([*lines[:place], lines[place], *lines[place:]][:60])


def _cut(data: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(data) + 1)
    return data[:start] + data[start + dice.choice((1, 2, 8, 64)) :]


def seeds(target: str) -> list[bytes]:
    """Files to begin with."""
    return _SEEDS[target]()


def _rows() -> dict[str, bytes]:
    return {name: (GOLDEN / "formats" / f"{name}.jsonl").read_bytes() for name in sorted(FORMATS)}


def _formats() -> list[bytes]:
    found = []
    for name, data in _rows().items():
        some = b"\n".join(data.splitlines()[:3])
        found += [b"#\n" + some, *(f"#{name} {one}\n".encode() + some for one in FORMATS[name].criteria or ("",))]
    rows = (
        b'{"q": {"t": "why"}, "x": ["a", "b"], "pick": "left", "s": 1, "who": "anna"}\n{"q": {"t": "how"}, "x": ["c"]}'
    )
    how = (b"prompt=q.t a=x.0 b=x.1 label=pick", b"prompt=q.t chosen=x.0 rejected=x.1 strength=s annotator=who",
           b"a=x.0 b=x.1 label=s @1=a @2=b", b"prompt=q a=x b=x.-1 system=who id=s")  # fmt: skip
    return found + [b"#map " + one + b"\n" + rows for one in how]


def _containers() -> list[bytes]:
    found = [b'#r.csv\nprompt,response_a,response_b\nwhy,"a\nb",c\nhow,d,"e ""f"""\n', b"#r.tsv\na\tb\n1\t2\n3\n"]
    found += [b"#r.csv\nsep=;\na;b\n1;2\n", b"#r\na,b\r\n1,2\r\n\r\n", b'#r.csv\na,b,c\n",x","\n",x","\n']
    for name in ("pair", "nectar", "shp"):
        lines = _rows()[name].splitlines()[:3]
        array = b"[" + b",\n".join(lines) + b"]"
        plain = b"\n".join(lines)
        found += [b"#r.json\n" + array, b'#r.json\n{"data": ' + array + b"}", b"#r.jsonl\n" + plain, b"#r\n" + plain]
        found += [b"#r.jsonl.gz\n" + gzip.compress(plain), b"#r.zst\n" + pa.compress(plain, "zstd", asbytes=True)]
    return found


def _arrow() -> list[bytes]:
    rows = [json.loads(line) for line in _rows()["pair"].splitlines()[:2]]
    tables = [
        pa.table({"prompt": ["p", "q"], "response_a": ["a", None], "response_b": ["b", "c"], "label": ["a", "b"]}),
        pa.table({"prompt": [json.dumps(row) for row in rows]}),
        pa.table(
            {
                "t": pa.array([0, 1], pa.timestamp("s", "Europe/Berlin")),
                "d": pa.array([0, 1], pa.date64()),
                "dec": pa.array(["1.5", "2"], pa.string()).cast(pa.decimal128(9, 3)),
                "dict": pa.array(["x", "x"]).dictionary_encode(),
                "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
                "s": pa.array([{"a": [1, None]}, None], pa.struct([("a", pa.list_(pa.int64()))])),
                "n": pa.nulls(2),
                "f": pa.array([float("nan"), float("inf")]),
                "u": pa.array([2**64 - 1, 0], pa.uint64()),
                "dur": pa.array([1, 2], pa.duration("ns")),
            }
        ),
    ]
    found = []
    for table in tables:
        for write in (_parquet, _stream, _file, _feather):
            out = io.BytesIO()
            write(table, out)
            found.append(b"#r.parquet\n" + out.getvalue())
    return found


def _parquet(table: pa.Table, out: io.BytesIO) -> None:
    pq.write_table(table, out)


def _stream(table: pa.Table, out: io.BytesIO) -> None:
    with ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)


def _file(table: pa.Table, out: io.BytesIO) -> None:
    with ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)


def _feather(table: pa.Table, out: io.BytesIO) -> None:
    feather.write_feather(table, out)


def _importers() -> list[bytes]:
    found = []
    for path in sorted((GOLDEN / "annotation").rglob("*.*")):
        data = path.read_bytes()
        if path.suffix == ".jsonl":
            data = b"\n".join(data.splitlines()[:3])
        found.append(f"#{path.name}\n".encode() + data[:40_000])
    task = {"pair_id": "0" * 32, "prompt": [{"role": "user", "content": "p"}], "left": "a", "right": "b"}
    task |= {"label": "left", "annotator": "anna", "note": "n"}
    table = f"pair_id,left,right,label,annotator,note\n{'0' * 32},a,b,Left is better,anna,\n".encode()
    return [*found, b"#q.jsonl\n" + json.dumps(task).encode(), b"#q.csv\n\xef\xbb\xbf" + table]


def _logs() -> list[bytes]:
    base = '{"id": "p1", "judge": "j", "order": "ab", '
    says = (
        '"p_a": 0.5}',
        '"logprob_a": -0.1, "logprob_b": -3, "logprob_tie": -4.5}',
        '"verdict": "tie", "confidence": 0.75}',
        '"failed": true}',
        '"p_a": 0.5, "p_tie": 0.25, "more": {"a": [1]}}',
        '"verdict": null}',
    )
    lines = [base + one for one in says]
    return ["\n".join(lines).encode(), *((line + "\n" + line.replace('"p1"', "1")).encode() for line in lines)]


def _yamls() -> list[bytes]:
    made = [b"one: [anna, ben]\ntwo: [carl, 5]\n", b"---\ntags: [preference, auto-labels]\nlicense: mit\n---\n# Card\n"]
    return [*made, *(path.read_bytes() for path in sorted(shipped("recipes").rglob("*.yaml")))]


def _tokenizers() -> list[bytes]:
    from tests.survival.targets import _tokenizer_json

    chat = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    config = {"chat_template": chat, "bos_token": "<s>", "eos_token": {"content": "<|im_end|>"}}
    several = config | {"chat_template": [{"name": "default", "template": chat}, {"name": "tools", "template": ""}]}
    dumped = [json.dumps(one).encode() for one in (config, several)]
    small = json.loads(_tokenizer_json())
    small["model"]["vocab"] = {c: i for i, c in enumerate(" ABC<|>xabs_imtdenr")}
    return [
        *(b"#tokenizer_config.json\n" + one for one in dumped),
        b"#chat_template.jinja\n" + chat.encode(),
        b"#tokenizer.json\n" + json.dumps(small).encode(),
    ]


def _replies() -> list[bytes]:
    reply = {"text": "A", "meta_info": {"finish_reason": {"type": "length"}, "prompt_tokens": 5, "cached_tokens": 2,
             "output_token_ids_logprobs": [[[-0.1, 7, None], [-3.0, 8, None]]]}}  # fmt: skip
    return [json.dumps([reply, reply]).encode(), json.dumps({"error": {"message": "no", "code": 400}}).encode()]


def _conditions() -> list[bytes]:
    return [
        b"words_a < 800 AND language_prompt = 'en'", b"near_duplicate_of IS NULL OR NOT (file LIKE '%x')",
        b"CASE WHEN words_a BETWEEN 1 AND 2 THEN true ELSE prompt IN ('a', 'b') END", b"list_contains([1, 2], words_a)",
        b"metadata ->> 'topic' = 'x'", b"CAST(metadata->'n' AS INT) % 0 = 1", b"regexp_matches(response_a, '(a+)+$')",
    ]  # fmt: skip


def _bodies() -> list[bytes]:
    said = {"pair_id": "0" * 32, "label": "left", "dealt": "a", "note": "n", "seconds": 1.5, "said_at": 17 * 10**11}
    return [json.dumps({"annotator": "anna", "said": [said], "showing": "0" * 32}).encode()]


def _evaluations() -> list[bytes]:
    rows = [{"question": "How many apples are there when three of five are eaten by somebody else before noon?"},
            {"prompt": [{"role": "user", "content": "Hello"}]}, {"text": "Bonjour, comment allez-vous?"}]  # fmt: skip
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    return [b"#s.jsonl\n" + lines, b"#s.csv\nquestion,answer\nwhy?,so\n"]


def _states() -> list[bytes]:
    state = {"version": "0.1.0", "asked": "0" * 32, "templates": [], "read": [["raw.jsonl", [1, 2, 3]]], "left": {}}
    return [b"#.last-run.json\n" + json.dumps(state).encode(), b'#run.json\n{"pairs": 1}']


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "sources": _containers,
    "arrow": _arrow,
    "formats": _formats,
    "ingests": lambda: [b"#r.jsonl\n" + b"\n".join(data.splitlines()[:3]) for data in _rows().values()] + _containers(),
    "importers": _importers,
    "logs": _logs,
    "yamls": _yamls,
    "tokenizers": _tokenizers,
    "replies": _replies,
    "conditions": _conditions,
    "bodies": _bodies,
    "evaluations": _evaluations,
    "states": _states,
}
