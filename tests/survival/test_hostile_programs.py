"""Hostile text as programs read it: SQL, YAML, Jinja2, packed files, planted links, names in commands and cards."""

from __future__ import annotations

import gzip
import json
import os
import pty
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt

from curator.errors import InputError, RecipeError
from curator.exports.card import _escaped
from curator.files import Reject, whole_file
from curator.resources import read_yaml
from curator.sandbox import BoundedEnvironment
from curator.sources import source_rows
from curator.store import open_store
from tests.conftest import ROOT, Cli, judgments, pairs, write_rows
from tests.hostile import TEXTS

QUERIES = (
    "CALL enable_logging(storage = 'file', storage_config = {'path': 'stolen'})",  # ended the process
    "CALL enable_logging(storage = 'stdout')",
    "SET log_query_path = 'stolen'",
    "PRAGMA enable_profiling = 'json'; PRAGMA profile_output = 'stolen.json'; SELECT 1",
    "CALL enable_profiling(format = 'json', save_location = 'stolen.json')",
    "SET memory_limit = '100GB'",
    "SET temp_directory = 'stolen'",
    "SET secret_directory = 'stolen'",
    "SET python_scan_all_frames = true",
    "CREATE PERSISTENT SECRET s (TYPE http)",
    "LOAD 'stolen.duckdb_extension'",
    "EXPORT DATABASE 'stolen'",
    "IMPORT DATABASE '/tmp'",
    "ATTACH ':memory:' AS other",
    "SELECT 1; DROP TABLE pair",
    "FROM read_text('/etc/passwd')",
    "FROM glob('/etc/*')",
    "SELECT getenv('HOME')",
    "FROM store",
)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "s.duckdb"
    with open_store(path):
        return path


def test_a_query_changes_no_setting_and_writes_no_file(
    db: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = db.read_bytes()
    for query in QUERIES:
        assert cli("sql", query, "--db", db) == 1, query
        assert cli.err.startswith("Error: "), query
    assert [path.name for path in tmp_path.iterdir()] == ["s.duckdb"]
    assert db.read_bytes() == before


def test_every_value_of_a_query_is_shown(db: Path, cli: Cli) -> None:
    old = "SELECT DATE '0044-03-15 (BC)' AS ides, 2::HUGEINT ** 0 AS one, 'nan'::DOUBLE AS nothing"
    assert cli("sql", old, "--db", db) == 0
    assert cli.out.splitlines()[1].split() == ["0044-03-15", "(BC)", "1.0", "nan"]
    large = (
        f"SELECT DATE '0044-03-15 (BC)' AS ides, {2**100}::HUGEINT AS large, MAP{{[1]: 2}} AS map, 'inf'::DOUBLE AS i"
    )
    assert cli("sql", large, "--db", db, "--json") == 0
    assert json.loads(cli.out) == {
        "ides": "0044-03-15 (BC)", "large": str(2**100), "map": {"key": [[1]], "value": [2]}, "i": None,
    }  # fmt: skip
    assert cli("sql", "SELECT 1 AS a, 2 AS a", "--db", db, "--json") == 1
    assert "two columns have one name" in cli.err


def test_an_endless_result_has_an_end(db: Path, cli: Cli) -> None:
    assert cli("sql", "FROM range(1000000000000)", "--db", db) == 0
    assert cli.out.splitlines()[-2:] == ["9999", "(the first 10,000 rows; --json has all)"]


def test_ctrl_c_ends_a_query_that_never_would(db: Path) -> None:
    endless = "WITH RECURSIVE t(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM t) SELECT max(a) FROM t"
    # Where the tests run in the background, children would take no notice of Ctrl-C.
    code = "import signal, sys; from curator.cli.main import main; "
    code += "signal.signal(signal.SIGINT, signal.default_int_handler); print('ready', flush=True); main(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", code, "sql", endless, "--db", db], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, err.strip()) == (130, "", "Error: stopped")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS, "a: &a [*a]", "description: 2024-99-99", f"limit: {'9' * 5000}", "limit: !!int many", "x: !!bool maybe",
        "x: !!timestamp soon", "x: !!float much", "x: !!python/object/apply:os.system ['false']", "name: x\nname: y",
        "[" * 5000, "? [a]\n: b", "x: !!binary '!'", "x: \0", "<<: 1", '"\\ud800": 1',
    ],
)  # fmt: skip
def test_yaml_that_means_harm_is_an_error_at_once(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        read_yaml(path, "recipe")


def test_many_keys_are_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: x\ndescription: y\nmap:\n" + "".join(f"  k{one}: v\n" for one in range(8_000)))
    start = time.process_time()
    assert len(read_yaml(path, "recipe")["map"]) == 8_000
    assert time.process_time() - start < 20


GREEDY = {
    "nested loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "one range twice": "{% set r = range(9999) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "a macro without an end": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "a long text": "{{ 'a' * 10 ** 10 }}",
    "a long list": "{{ [0] * 10 ** 12 }}",
    "a large number": "{{ (10 ** 100000) ** 100000 }}",
    "twice as long, again and again": "{% set n = namespace(x='aaaa') %}"
    "{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a recursive loop": "{% for x in [[[]]] recursive %}{{ loop([x, x]) }}{% endfor %}",
    "the way out": "{{ cycler.__init__.__globals__.os.system('false') }}",
    "a class": "{{ '{0.__class__.__mro__}'.format(1) }}",
    "a file": "{% include '/etc/passwd' %}",
    "a change": "{{ turns.append(1) }}",
}


@pytest.mark.parametrize("name", GREEDY)
def test_a_template_ends_and_stays_inside(name: str) -> None:
    environment = BoundedEnvironment()
    with pytest.raises((jinja2.TemplateError, TypeError)):
        environment.fill(environment.from_string(GREEDY[name]), {"turns": ["a"]})


def test_a_bounded_template_says_what_any_other_says() -> None:
    source = "{% for t in turns %}{{ loop.index }}/{{ loop.length }} {{ t ~ '!' * 2 + '?' }}{% else %}none{% endfor %}"
    bounded, plain = BoundedEnvironment(), jinja2.Environment(autoescape=True)
    for turns in (["a", "b"], [], (one for one in "")):
        told = bounded.fill(bounded.from_string(source), {"turns": turns})
        assert told == plain.from_string(source).render(turns=turns)


def test_a_dictionary_bomb_is_read_a_row_at_a_time(tmp_path: Path) -> None:
    """A few kilobytes that say one text of 20 MiB for each of thousands of rows."""
    path = tmp_path / "bomb.parquet"
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), pa.array(["a" * (20 << 20)]))
    table = pa.table({"prompt": ["p"] * 2_000, "response_a": bomb, "response_b": ["b"] * 2_000})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=1 << 30)
    assert path.stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = source_rows(str(path))
    first = next(rows)
    assert not isinstance(first, Reject)
    assert len(first.values["response_a"]) == 20 << 20
    rows.close()  # type: ignore[attr-defined]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 800 * 1024  # KiB; it was 4 GiB


def test_a_line_of_a_gigabyte_in_a_megabyte_is_one_reject(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(200):
            file.write(b"x" * 2**20)
    found = list(source_rows(str(path)))
    assert [one.reason for one in found if isinstance(one, Reject)] == ["is longer than 32 MiB"]
    assert len(found) == 1


def test_a_header_of_millions_of_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv"
    path.write_text(f"prompt,response_a,response_b{',' * 5_000_000}\np,a,b\n")
    with pytest.raises(InputError, match="more than 1 MiB"):
        next(source_rows(str(path)))


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / ".queue.jsonl.partial").symlink_to(precious)
    with whole_file(tmp_path / "queue.jsonl") as aside:
        aside.write_text("theirs")
    assert (precious.read_text(), (tmp_path / "queue.jsonl").read_text()) == ("mine", "theirs")


def test_a_name_with_a_line_break_is_refused(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    bad = write_rows(folder / "a\nError: all is lost.jsonl", pairs(2))
    for raw in (bad, folder, folder / "*.jsonl"):
        assert cli("label", raw, "--out", tmp_path / "out") in {1, 2}
        assert len(cli.err.splitlines()) == 1
        assert "has a line break in its name: rename the file" in cli.err
    assert cli("sql", "SELECT\n1", "--db", tmp_path / "none") == 1
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text('name: x\ndescription: y\nextends: "a\\nError: all is lost\\nb.yaml"\n')
    assert cli("recipes", recipe) == 1
    assert len(cli.err.splitlines()) == 1


def test_no_field_makes_a_line_of_its_own(cli: Cli, tmp_path: Path) -> None:
    fake = "harmless\nError: all is lost\r\n\u2028Next: rm -rf\n"
    rows = [
        {**row, "id": f"{fake}{i}", "prompt": fake + row["prompt"], "topic": fake, fake: fake}
        for i, row in enumerate(pairs(120, labelled=80))
    ]
    log = [{**row, "id": f"{fake}{row['id'][1:]}", "judge": fake} for row in judgments(120)]
    rows += [{**rows[0], "label": fake}, {fake: 1}]
    raw, judged = write_rows(tmp_path / "raw.jsonl", rows), write_rows(tmp_path / "log.jsonl", log)
    out = tmp_path / "raw.curated"
    db = out / "curator.duckdb"
    label = ("label", raw, "--judgments", judged, "--group-by", "topic", "--group-min", "10", "--audit", "0.1")
    said = []
    for command in (
        label, ("status",), ("audit", "--labels", "--contradictions"), ("agreement",), ("calibrate",), ("hygiene",),
        ("sql", "SELECT * FROM pair JOIN input_row USING (pair_id)"), ("sql", "FROM judge"),
        ("export", "--out", tmp_path / "data"), ("queue", "--out", tmp_path / "people"),
    ):  # fmt: skip
        assert cli(*command, *(() if command == label else ("--db", db))) == 0, (command, cli.err)
        said += (cli.out + cli.err).splitlines()
    assert len(said) > 100
    assert not [line for line in said if line.strip().startswith(("Error: all", "Next: rm"))]


def test_a_command_to_paste_is_one_command(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "my data; touch stolen"
    folder.mkdir()
    raw, log = write_rows(folder / "raw.jsonl", pairs(400)), write_rows(folder / "log.jsonl", judgments(400))
    assert cli("label", raw, "--judgments", log) == 4
    db = folder / "raw.curated" / "curator.duckdb"
    printed = [next(line for line in cli.out.splitlines() if "curator review" in line)]
    for command in (("queue", "--out", tmp_path / "people"), ("agreement",)):
        assert cli(*command, "--db", db) == 0
        printed += [line for line in cli.out.splitlines() if " --db " in line]
    assert len(printed) == 3
    for line in printed:
        words = shlex.split(line)
        assert words[words.index("--db") + 1] == str(db)


def test_a_card_makes_no_link_formula_or_markup_of_a_name() -> None:
    name = "https://x.example/ www.x.example a@x.example $x$ ~~s~~ <b>b</b> [l](javascript:1) ![i](//x) `c` | # *e* _e_"
    escaped = _escaped(name)
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).renderInline(escaped)
    assert shown == name.replace("<b>b</b>", "&lt;b&gt;b&lt;/b&gt;")
    assert not [mark for mark in ("://", "www.", "$x", "a@x") if mark in escaped.replace("\\$", "").replace("\\@", "")]


def test_a_terminal_is_sent_text_alone(tmp_path: Path) -> None:
    """Standard output and error are a terminal here: bars, summaries and messages hold no control characters."""
    raw = write_rows(tmp_path / "raw.jsonl", [{"id": str(i), "prompt": t[:500], "response_a": t[:500] + "a",
        "response_b": t[:500] + "b", "g": t[:50]} for i, t in enumerate(TEXTS)])  # fmt: skip
    log = write_rows(tmp_path / "log.jsonl", [{"id": str(i), "judge": TEXTS[15], "order": order, "p_a": 0.9}
        for i in range(len(TEXTS)) for order in ("ab", "ba")])  # fmt: skip
    strange = "\x1b[31m\x9b2J\u202e"
    for arguments in (
        ["label", str(raw), "--judgments", str(log), "--group-by", "g"],
        ["sql", "FROM pair", "--db", str(tmp_path / "raw.curated" / "curator.duckdb")],
        ["label", str(tmp_path / strange)],
        ["label", str(raw), "--alpha", strange],
    ):
        said = on_a_terminal(arguments)
        assert len(said) > 20
        assert not [
            c for c in said if c not in "\r\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066")
        ]


def on_a_terminal(arguments: list[str]) -> str:
    """What `curator` shows on a terminal."""
    ours, theirs = pty.openpty()
    code = "from curator.cli.main import main; import sys; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL):
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 2**16):
                shown += data
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
    os.close(ours)
    return shown.decode()
