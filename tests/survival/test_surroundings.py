"""Where requests may go and whom they believe: certificates, proxies, redirects, logins of other programs."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from curator.errors import AnnotationError, InputError, JudgeError, JudgeUnreachable
from curator.judges.describing import describe
from curator.judges.http import open_session
from curator.sources.hub import require_reachable
from tests.conftest import ROOT, Cli, pairs, write_rows

MODEL = b'{"model_path": "org/model"}'


class Web:
    """A server in a thread of its own that answers everything alike, and keeps what it was asked."""

    def __init__(self, certificate: Path | None = None, onward: str | None = None) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self.asked.append((handler.path, dict(handler.headers)))
                handler.send_response(307 if onward else 200)
                if onward:
                    handler.send_header("Location", onward)
                handler.send_header("Content-Length", str(len(MODEL)))
                handler.end_headers()
                handler.wfile.write(MODEL)

            do_HEAD = do_GET  # noqa: N815

            def do_CONNECT(handler) -> None:  # noqa: N805
                self.asked.append((handler.path, dict(handler.headers)))
                handler.send_error(403)

            def log_message(handler, *_: Any) -> None: ...  # noqa: N805

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that refuses breaks off


@contextmanager
def web(certificate: Path | None = None, onward: str | None = None) -> Iterator[Web]:
    one = Web(certificate, onward)
    thread = threading.Thread(target=one.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        thread.join()
        one.server.server_close()


def ask(url: str) -> str:
    """What model answers there."""

    async def asked() -> str:
        async with open_session() as session:
            return str((await describe(session, url))[0]["model"])

    return asyncio.run(asked())


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SGLANG_API_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `localhost`, signed by nobody but itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not at hand")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


def test_a_certificate_that_nobody_vouches_for_is_refused(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, tmp_path: Path
) -> None:
    with web(certificate) as server:
        url = f"https://localhost:{server.port}"
        raw = write_rows(tmp_path / "raw.jsonl", pairs(2))
        assert cli("label", raw, "--judge-url", url) == 5
        assert "self-signed certificate" in cli.err
        assert "name the file with its certificate in SSL_CERT_FILE" in cli.err
        for name in ("PYTHONHTTPSVERIFY", "CURL_INSECURE", "NODE_TLS_REJECT_UNAUTHORIZED"):
            monkeypatch.setenv(name, "0")
        with pytest.raises(JudgeUnreachable, match="SSL_CERT_FILE"):
            ask(url)
        assert server.asked == [], "nothing was sent before the certificate was checked"


def test_a_certificate_of_ones_own_is_taken_for_its_name_alone(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: aiohttp reads the certificates once."""
    code = "import sys; from tests.survival.test_surroundings import ask; print(ask(sys.argv[1]))"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    with web(certificate) as server:
        said = [
            subprocess.run(
                [sys.executable, "-c", code, f"https://{host}:{server.port}"],
                capture_output=True, text=True, cwd=ROOT, check=False,
            )
            for host in ("localhost", "127.0.0.1")
        ]  # fmt: skip
    assert said[0].stdout == "org/model\n"
    assert said[1].returncode == 1
    assert "IP address mismatch" in said[1].stderr
    assert len(server.asked) == 3, "its three pages, by its own name"


@pytest.mark.parametrize("user", ["", "anna:hush@"])
def test_a_proxy_is_asked_for_what_is_not_here(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with web() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{user}127.0.0.1:{proxy.port}")
        assert ask("http://judge.invalid:30000") == "org/model"
        assert {path for path, _ in proxy.asked} == {
            f"http://judge.invalid:30000{page}" for page in ("/model_info", "/server_info", "/v1/models")
        }
        logins = {headers.get("Proxy-Authorization") for _, headers in proxy.asked}
        assert logins == ({"Basic YW5uYTpodXNo"} if user else {None})


def test_no_proxy_is_asked_about_this_machine_or_what_no_proxy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with web() as proxy, web() as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        for host in ("127.0.0.1", "localhost"):
            assert ask(f"http://{host}:{server.port}") == "org/model"
        monkeypatch.setenv("NO_PROXY", "judge.invalid")
        with pytest.raises(JudgeUnreachable):
            ask("http://judge.invalid:30000")
        assert proxy.asked == []
        assert len(server.asked) == 6


def test_a_server_here_beside_one_elsewhere_is_not_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(here: str, elsewhere: str) -> None:
        async with open_session() as session:
            await describe(session, here)
            await describe(session, elsewhere)

    with web() as proxy, web() as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        asyncio.run(both(f"http://127.0.0.1:{server.port}", "http://judge.invalid"))
        assert (len(server.asked), len(proxy.asked)) == (3, 3)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "https://127.0.0.1:9", "127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_not_passed_by(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(JudgeError, match="only a proxy of the form http://HOST:PORT"):
        ask("https://judge.invalid")


def test_logins_of_other_programs_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login anna password hush\n")
    with web() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SGLANG_API_KEY", "a key")
        assert ask("http://judge.invalid") == "org/model"
        sent = {(headers["Authorization"], headers.get("Proxy-Authorization")) for _, headers in proxy.asked}
        assert sent == {("Bearer a key", None)}


def test_a_proxy_that_only_passes_on_does_not_see_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with web() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://anna:hush@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SGLANG_API_KEY", "a long key")
        with pytest.raises(JudgeUnreachable, match="403"):
            ask("https://judge.invalid")
        path, headers = proxy.asked[0]
        assert path == "judge.invalid:443"
        assert headers["Proxy-Authorization"] == "Basic YW5uYTpodXNo"
        assert "a long key" not in str(headers)


def test_a_redirect_is_said_and_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_API_KEY", "a long key")
    with web() as other, web(onward=f"http://anna:hush@localhost:{other.port}/x?key=1") as server:
        with pytest.raises(JudgeError, match=rf"sends us on to http://localhost:{other.port}/x .HTTP 307"):
            ask(f"http://127.0.0.1:{server.port}")
        assert other.asked == []


def test_a_port_that_speaks_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken.settimeout(10)

        def hang_up() -> None:
            taken.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(JudgeUnreachable, match="no SGLang server answers at https://127"):
            ask(f"https://127.0.0.1:{taken.getsockname()[1]}")
        thread.join()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The hub's client, made anew: it keeps its connections, and what it knew of proxies."""
    client = pytest.importorskip("huggingface_hub")
    client.close_session()
    yield monkeypatch
    client.close_session()


def test_the_hub_has_to_show_a_certificate(hub: pytest.MonkeyPatch, certificate: Path) -> None:
    with web(certificate) as server:
        hub.setattr("huggingface_hub.constants.ENDPOINT", f"https://localhost:{server.port}")
        with pytest.raises(InputError, match=r"cannot be reached \(.*self-signed certificate"):
            require_reachable("org/name")
        assert server.asked == []


def test_the_hub_is_asked_through_the_proxy(hub: pytest.MonkeyPatch) -> None:
    with web() as proxy:
        hub.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        hub.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.invalid")
        require_reachable("org/name")
        assert [path for path, _ in proxy.asked] == ["http://hub.invalid/"]


def test_argilla_is_asked_through_the_proxy_and_has_to_show_a_certificate(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, tmp_path: Path
) -> None:
    pytest.importorskip("argilla")
    from curator.annotation.argilla import push

    monkeypatch.setenv("ARGILLA_API_KEY", "a long key")
    with web() as proxy, web(certificate) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ARGILLA_API_URL", "http://argilla.invalid")
        with pytest.raises(AnnotationError, match=r"what answers at argilla\.invalid is no Argilla server"):
            push(tmp_path, [], "name", None)
        assert proxy.asked[0][0].startswith("http://argilla.invalid/")
        monkeypatch.setenv("ARGILLA_API_URL", f"https://localhost:{server.port}")
        with pytest.raises(AnnotationError, match="self-signed certificate"):
            push(tmp_path, [], "name", None)
        assert server.asked == []
