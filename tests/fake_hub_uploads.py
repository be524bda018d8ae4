"""The hub's double: a real HTTP server on loopback with the few pages that its client asks for, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_Secret0123456789abcdefghij"


class FakeHub:
    """One server in a thread of its own, from `with` to its end.

    Attributes:
        repos: by name: `private`, and `branches` with the files of each by path.
        asked: method and path of every request.
        lfs: whether Parquet goes by LFS, as on the hub, and not within the commit.
        status: what every request is answered with, instead; None: the usual.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.lfs = True
        self.status: int | None = None
        self._objects: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, name: str, files: dict[str, bytes] | None = None, *, private: bool = False) -> None:
        self.repos[name] = {"private": private, "branches": {"main": dict(files or {})}}

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        return self.repos[name]["branches"][branch]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and reply."""
        match (method, *(unquote(part) for part in path.strip("/").split("/"))):
            case "POST", "api", "repos", "create":
                wanted = json.loads(body)
                assert wanted["type"] == "dataset"
                name = f"{wanted['organization']}/{wanted['name']}"
                there = name in self.repos
                if not there:
                    self.add(name, {".gitattributes": b""}, private=wanted.get("visibility") == "private")
                return (409 if there else 200), {"url": f"{self.url}/datasets/{name}"}
            case "POST", "api", "validate-yaml":
                header = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
                bad = header.get("license") == "not-a-license"
                said = {"errors": [{"message": '"license" must be one of [...]'}] if bad else [], "warnings": []}
                return (400 if bad else 200), said
            case "GET", "api", "datasets", owner, name:
                return self._info(f"{owner}/{name}", "main")
            case "GET", "api", "datasets", owner, name, "revision", branch:
                return self._info(f"{owner}/{name}", branch)
            case "POST", "api", "datasets", owner, name, "branch", branch:
                branches = self.repos[f"{owner}/{name}"]["branches"]
                there = branch in branches
                branches.setdefault(branch, dict(branches["main"]))
                return (409 if there else 200), {}
            case "POST", "api", "datasets", owner, name, "preupload", _:
                return 200, {"files": [self._mode(file["path"]) for file in json.loads(body)["files"]]}
            case "POST", "datasets", owner, _, "info", "lfs", "objects", "batch":
                put = [
                    {**one, "actions": {"upload": {"href": f"{self.url}/objects/{one['oid']}"}}}
                    for one in json.loads(body)["objects"]
                ]
                return 200, {"objects": put, "transfer": "basic"}
            case "PUT", "objects", oid:
                assert hashlib.sha256(body).hexdigest() == oid
                self._objects[oid] = body
                return 200, {}
            case "POST", "api", "datasets", owner, name, "commit", branch:
                return self._commit(f"{owner}/{name}", branch, [json.loads(line) for line in body.splitlines()])
        raise LookupError(f"{method} {path}")

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if self.lfs and path.endswith(".parquet") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def _sha(self, files: dict[str, bytes]) -> str:
        return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()

    def _info(self, name: str, branch: str) -> tuple[int, Any]:
        repo = self.repos[name]
        files = repo["branches"][branch]
        card = files.get("README.md", b"").decode()
        tags = yaml.safe_load(card.split("---\n")[1]).get("tags", []) if card.startswith("---") else []
        return 200, {
            "id": name, "sha": self._sha(files), "private": repo["private"], "tags": tags,
            "siblings": [{"rfilename": path} for path in files],
        }  # fmt: skip

    def _commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        files = self.files(name, branch)
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                assert value["parentCommit"] == self._sha(files)
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self._objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = self._sha(files)
        return 200, {"commitUrl": f"{self.url}/datasets/{name}/commit/{sha}", "commitOid": sha}


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            hub.asked.append(f"{self.command} {path}")
            said = self.headers.get("Authorization", "")
            if hub.status is not None:
                status, reply = hub.status, {"error": f"not today, {said}"}
            elif said != f"Bearer {TOKEN}" and self.command != "PUT":
                status, reply = 401, {"error": f"Invalid credentials in Authorization header: {said}"}
            else:
                status, reply = hub.answer(self.command, path, body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
