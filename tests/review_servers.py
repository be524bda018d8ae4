"""Starts `curator review` as people do, and speaks to it as a browser does, or as one should not."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from curator.store import open_store
with open_store(Path(sys.argv[1])) as store:
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(db: Path) -> Iterator[int]:
    """Another process has the store open meanwhile; its number."""
    command = [sys.executable, "-c", HOLD, str(db)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        try:
            yield other.pid
        finally:
            other.stdin.close()


class Server:
    """A running `curator review`.

    Attributes:
        said: what it printed before it was ready.
        address: as printed, with the token.
    """

    def __init__(self, db: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "curator", "review", "--db", str(db), *arguments]
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=env)
        assert self.process.stdout is not None
        self.said, self.address = self.process.stdout.readline(), self.process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError(self.process.communicate()[1])
        parts = urlsplit(self.address)
        self.port = int(parts.port or 0)
        self.token = parse_qs(parts.query)["token"][0]

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """End it; its exit code and what else it printed."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def ask(
        self, method: str, path: str, body: Any = None, *, without: tuple[str, ...] = (), **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request as the page makes it, but for the headers given and those left out."""
        usual = {"Host": f"127.0.0.1:{self.port}", "Cookie": f"curator_{self.port}={self.token}"}
        if method == "POST":
            usual |= {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json"}
        usual |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in usual.items() if name not in without}
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def sync(self, annotator: str | None, *said: dict[str, Any], showing: str | None = None) -> tuple[int, Any]:
        """What the page sends and gets."""
        status, _, body = self.ask("POST", "/sync", {"annotator": annotator, "said": list(said), "showing": showing})
        return status, json.loads(body)


@contextmanager
def serving(db: Path, *arguments: str) -> Iterator[Server]:
    server = Server(db, *arguments)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def says(state: dict[str, Any], label: str, **more: Any) -> dict[str, Any]:
    """An answer to the task of a state."""
    return {"pair_id": state["task"]["pair_id"], "label": label, "dealt": state["dealt"], **more}
