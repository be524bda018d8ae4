"""No key and no password is ever written or said: each is planted, and all that was written is looked through."""

from __future__ import annotations

import base64
import gzip
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from curator.hiding import hidden, masked
from tests.conftest import write_rows
from tests.fake_argilla import FakeArgilla
from tests.fake_hub_uploads import FakeHub
from tests.fake_sglang import FakeSGLang
from tests.survival.planted import Surroundings, secret, traces

NAMED = {
    "SGLANG_API_KEY": "key", "HF_TOKEN": "hub", "ARGILLA_API_KEY": "argilla", "OPENAI_API_KEY": "openai",
    "LABEL_STUDIO_API_KEY": "studio",
}  # fmt: skip

CRASHES = """
import os, sys
from curator.cli.main import main
import curator.judges.wire, curator.judges.sglang
async def generate(session, url, *rest):
    raise RuntimeError(f"{session.headers} {os.environ} {url}")
curator.judges.sglang.generate = generate
main(sys.argv[1:])
"""


class Scenes:
    """What is done with the planted secrets; each scene keeps what was said."""

    def __init__(self, folder: Path) -> None:
        self.place = Surroundings(folder)
        self.place.env |= {name: self.place.plant(what) for name, what in NAMED.items()}
        self.password, self.query, self.proxy, self.flag = map(self.place.plant, ("password", "query", "proxy", "flag"))
        qualities = [(0.1 * (i % 7), 0.95 - 0.1 * (i % 5)) for i in range(40)]
        rows = [
            {"prompt": f"prompt {i}", "response_a": f"quality {a:.2f}", "response_b": f"quality {b:.2f}",
             "label": "ab"[a < b] if i < 30 else None}
            for i, (a, b) in enumerate(qualities)
        ]  # fmt: skip
        self.raw = write_rows(self.place.cwd / "raw.jsonl", rows)
        self.db = self.place.cwd / "good" / "curator.duckdb"

    def label(self, out: str, *arguments: object, code: int, few: bool = True, **env: str) -> str:
        usual = ("--no-probe", "--min-label-mass", "0", "--retry-seconds", "0", "--out", out)
        limit = ("--limit", "2") if few else ()
        return self.place.curator("label", self.raw, *usual, *limit, *arguments, code=code, **env)

    def key(self) -> None:
        with FakeSGLang(key=self.place.secrets["key"]) as server:
            url = f"http://127.0.0.1:{server.port}"
            self.label("good", "--judge-url", url, "--rationale", "--alpha", "0.4", "--audit", "0.9", code=0, few=False)
            assert any("zq7" in headers.get("Authorization", "") for headers in server.headers)
            server.poison = lambda text: "echo 400"
            assert "HTTP 400: {'" in self.label("echo-400", "--judge-url", url, code=3)
            assert "first shown    not known" in self.place.curator("doctor", "--judge-url", url, code=1)
            server.poison = lambda text: "echo 500"
            assert "HTTP 500: {'" in self.label("echo-500", "--judge-url", url, code=5)
            server.poison = lambda text: "echo 401"
            assert "refuses the key" in self.label("echo-401", "--judge-url", url, code=1)
            said = self.label("query", "--judge-url", f"{url}?api_key={quote(self.query)}", code=1)
            assert "an address ends with its path" in said
            line = ["label", self.raw, "--judge-url", url, "--out", "crash", "--no-probe", "--limit", "2"]
            said = self.place.run("-c", CRASHES, *line, code=1, flags=("-X", "dev", "-X", "faulthandler"))
            assert "'SGLANG_API_KEY': '***'" in said

    def password_in_the_address(self) -> None:
        quoted, none = quote(self.password, safe=""), {"SGLANG_API_KEY": ""}
        with FakeSGLang() as server:
            host = f"127.0.0.1:{server.port}"
            server.poison = lambda text: "echo 400"
            url = f"http://u:{quoted}@{host}"
            assert "HTTP 400: {'" in self.label("password", "--judge-url", url, code=3, **none)
            assert any(headers.get("Authorization", "").startswith("Basic ") for headers in server.headers)
            self.label("ray", "--judge-url", url, "--ray", "nowhere", code=1, **none)
            for wrong in (f"http://u:{self.password}@{host}", f"u:{self.password}@{host}", f"http://u:{quoted}@[::1"):
                said = self.label("wrong", "--judge-url", wrong, "--judge-model", "m", code=1, **none)
                assert "is no server address: give one like" in said
        self.label("nobody", "--judge-url", f"http://u:{quoted}@127.0.0.1:9", code=5, **none)
        for command in (("label", self.raw, "--judgments"), ("import", "--db", self.db)):
            self.place.curator(*command, f"http://u:{quoted}@h/log.jsonl", code=1)

    def proxies(self) -> None:
        quoted = quote(self.proxy, safe="")
        for proxy, said, code in (
            (f"http://u:{quoted}@127.0.0.1:9", "127.0.0.1:9", 5),
            (f"u:{self.proxy}@127.0.0.1:9", "http_proxy is ***@127.0.0.1:9", 1),
            (f"socks5://u:{quoted}@127.0.0.1:9", "http_proxy is socks5://***@127.0.0.1:9", 1),
            (f"https://u:{quoted}@127.0.0.1:9", "http_proxy is https://***@127.0.0.1:9", 1),
        ):
            assert said in self.label("proxy", "--judge-url", "http://judge.invalid", code=code, HTTP_PROXY=proxy)

    def flags(self) -> None:
        for flags in (f"--api-key '{self.flag}'", f"--admin-api-key={self.flag}", f"--api-k {self.flag}"):
            assert "--sglang-args holds a key" in self.label(
                "model", "--judge-model", "m", "--sglang-args", flags, code=1
            )
        self.label("model", "--judge-model", "m", "--sglang-args", f"--api-key '{self.flag}", code=1)
        flags = f"--api-key '{self.flag} {self.flag}' --json-model-override-args '{{\"api_key\": \"{self.flag}\"}}'"
        urls = ("--judge-url", f"http://u:{self.password}@h", "--judge-url", f"http://h/?key={self.query}")
        self.label("config", *urls, "--sglang-args", flags, "--show-config", code=0)
        prints = self.place.folder / "home" / "python"
        prints.write_text(f"#!{sys.executable}\nimport os\nraise SystemExit(os.environ['SGLANG_API_KEY'] * 3)\n")
        prints.chmod(0o755)
        said = self.label("server", "--judge-model", "m", "--sglang-python", prints, code=1)
        assert "  | *********" in said, "what a server says of its environment is not repeated"
        (self.place.cwd / "server" / "sglang-server.log").unlink()  # the server's own

    def people_and_the_hub(self) -> None:
        quoted = quote(self.password, safe="")
        queue = ("queue", "--db", self.db, "--to", "argilla", "--out", "tasks", "--push", "n")
        with FakeArgilla() as server:
            for url in (server.url, server.url.replace("//", f"//u:{quoted}@"), f"{server.url}/?api_key={self.query}"):
                self.place.curator(*queue, code=1, ARGILLA_API_URL=url)
            server.status = 500  # repeats the key
            self.place.curator(*queue, code=1, ARGILLA_API_URL=server.url)
        push = ("push", "me/pairs", "--db", self.db)
        with FakeHub() as server:
            assert "401" in self.place.curator(*push, "--send", code=1, HF_ENDPOINT=server.url)
            for more in (["--json"], ["--send"]):
                self.place.curator(*push, *more, code=None, HF_ENDPOINT=server.url.replace("//", f"//u:{quoted}@"))

    def all_else(self) -> None:
        for command in ("status", "report", "audit", "agreement"):
            self.place.curator(command, "--db", self.db)
        self.place.curator("sql", "--db", self.db, "SELECT * FROM judge")
        self.place.curator("sql", "--db", self.db, "SELECT getenv('SGLANG_API_KEY')", code=1)
        self.place.curator("export", "--db", self.db, "--to", "jsonl", "--out", "export")
        self.place.curator("queue", "--db", self.db, "--to", "html", "--out", "html")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    scenes = Scenes(tmp_path_factory.mktemp("secrets"))
    for scene in (
        scenes.key, scenes.password_in_the_address, scenes.proxies, scenes.flags, scenes.people_and_the_hub,
        scenes.all_else,
    ):  # fmt: skip
        scene()
    return scenes.place


def test_no_secret_lies_anywhere(place: Surroundings) -> None:
    assert len(place.secrets) == 9
    assert len(place.said) > 35
    assert (place.cwd / "good" / "curator.duckdb").is_file()
    assert place.found() == []


@pytest.mark.parametrize("form", ["plain", "half", "reversed", "base64", "quoted", "gzip"])
def test_the_search_finds_what_is_there(tmp_path: Path, form: str) -> None:
    value = secret("shown")
    data = {
        "plain": value.encode(), "half": value[: len(value) // 2].encode(), "reversed": value[::-1].encode(),
        "base64": base64.b64encode(b"user:" + value.encode()), "quoted": quote(value, safe="").encode(),
        "gzip": gzip.compress(value.encode()),
    }[form]  # fmt: skip
    assert all(len(one) >= 8 for one in traces(value))
    place = Surroundings(tmp_path)
    place.plant("shown")
    assert place.found() == []
    (place.cwd / "left").write_bytes(data)
    assert place.found()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://anna:p/w@d@host/x", "http://***@host/x"),
        ("'http://anna@host'", "'http://***@host'"),
        ("hf://datasets/org/name@v1#train is not there", "hf://datasets/org/name@v1#train is not there"),
        ("mail me@host: at 10:30", "mail me@host: at 10:30"),
        ("GET /x?a=1&access_token=abc&b=2", "GET /x?a=1&access_token=***&b=2"),
        ("Basic dTpodXNoLWh1c2g= of hush-hush", "Basic *** of ***"),
    ],
)
def test_what_a_message_keeps(said: str, shown: str) -> None:
    assert hidden(said, "http://u:hush%2Dhush@host") == shown


def test_a_short_secret_does_not_eat_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_API_KEY", "EMPTY")
    assert hidden("the reply is EMPTY") == "the reply is EMPTY"
    monkeypatch.setenv("SGLANG_API_KEY", "long-enough")
    assert hidden("it said long-enough") == "it said ***"
    assert masked("--api-key=x --tp 2 --tokenizer org/name") == "--api-key=*** --tp 2 --tokenizer org/name"
