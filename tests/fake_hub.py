"""A loopback double of the Hugging Face hub: serves the data sets that lie in a folder, as ORG/NAME."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = {"main", "v1", SHA}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((path, self.headers.get("Authorization")))
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups())
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/(revision|tree|paths-info)/([^/]+)(/.*)?", path):
            self._about(*found.groups(), body)
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)", path):
            self._about(found[1], "revision", "main", None, body)
        else:
            self._answer(404)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _about(self, repo: str, what: str, revision: str, inside: str | None, body: bytes) -> None:
        root = self.folder / repo
        if revision not in REVISIONS or not root.is_dir():
            self._answer(404, {"X-Error-Code": "RevisionNotFound" if root.is_dir() else "RepoNotFound"})
            return
        entries = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*"))}
        if what == "revision":
            siblings = [{"rfilename": name} for name, path in entries.items() if path.is_file()]
            self._json({"id": repo, "sha": SHA, "siblings": siblings})
        elif what == "tree":
            below = (inside or "").strip("/")
            if below and below not in entries:
                self._answer(404, {"X-Error-Code": "EntryNotFound"})
                return
            self._json([_entry(name, path) for name, path in entries.items() if name.startswith(below)])
        else:
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else []
            self._json([_entry(name, entries[name]) for name in wanted if name in entries])

    def _file(self, repo: str, revision: str, name: str) -> None:
        path = self.folder / repo / name
        if not (self.folder / repo).is_dir():
            self._answer(404, {"X-Error-Code": "RepoNotFound"})
        elif revision not in REVISIONS:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        elif not path.is_file():
            self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
        else:
            data = path.read_bytes()
            about = {"ETag": f'"{sha1(data).hexdigest()}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
            if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                start, end = int(span[1]), int(span[2] or len(data) - 1)
                part = data[start : end + 1]
                about["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
                self._answer(206, about, part)
            else:
                self._answer(200, about, data)

    def _json(self, value: Any) -> None:
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _answer(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def _entry(name: str, path: Path) -> dict[str, Any]:
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": SHA, "size": 0}
    return {"type": "file", "path": name, "oid": sha1(path.read_bytes()).hexdigest(), "size": path.stat().st_size}


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The address of a hub of the data sets in a folder, and what it is asked: paths with their authorization."""
    asked: list[tuple[str, str | None]] = []
    handler = type("Handler", (_Handler,), {"folder": folder, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
