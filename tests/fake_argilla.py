"""Argilla's double: a real HTTP server on loopback with the few pages that the client asks for, kept in memory.

Records are updated by their external id, as the server does it; responses are put in by the test, as people would.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

KEY = "argilla.secret"
THEN = "2026-03-01T12:00:00"
LATER = "2026-03-02T09:30:00.250000"
"""When everything was made, and when responses were last changed; the server's times have no zone."""


def _new(**values: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "inserted_at": THEN, "updated_at": THEN, **values}


class FakeArgilla:
    """One server in a thread of its own, from `with` to its end.

    Attributes:
        datasets: as the server tells them, each with its `fields`, `questions` and `records`.
        users: of the one workspace, `team`; the first is who pushes.
        bulks: how many records each request had.
        status: what every request is answered with, instead; None: the usual.
    """

    def __init__(self) -> None:
        self.users = [_new(username=name, role="owner", first_name=name) for name in ("olga", "anna", "ben")]
        self.workspaces = [_new(name="team")]
        self.datasets: dict[str, dict[str, Any]] = {}
        self.bulks: list[int] = []
        self.status: int | None = None

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

    def dataset(self, name: str) -> dict[str, Any]:
        return next(one for one in self.datasets.values() if one["name"] == name)

    def records(self, name: str) -> list[dict[str, Any]]:
        return list(self.dataset(name)["records"].values())

    def respond(self, record: dict[str, Any], user: int, status: str, **values: str) -> None:
        """What a person does in the browser."""
        given = {question: {"value": value} for question, value in values.items()}
        person = self.users[user]["id"]
        response = _new(values=given, status=status, user_id=person, record_id=record["id"]) | {"updated_at": LATER}
        record["responses"] = [one for one in record["responses"] if one["user_id"] != person] + [response]
        submitted = sum(one["status"] == "submitted" for one in record["responses"])
        enough = self.datasets[record["dataset_id"]]["distribution"]["min_submitted"]
        record["status"] = "completed" if submitted >= enough else "pending"

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """The reply to a request."""
        match (method, *path.removeprefix("/api/v1/").split("/")):
            case "GET", "me":
                return self.users[0]
            case "GET", "me", "workspaces":
                return {"items": self.workspaces}
            case "GET", "workspaces", _, "users":
                return {"items": self.users}
            case "GET", "workspaces", number:
                return next(one for one in self.workspaces if one["id"] == number)
            case "GET", "me", "datasets":
                return {"items": [_bare(one) for one in self.datasets.values()]}
            case "POST", "datasets":
                made = _new(fields=[], questions=[], records={}, status="draft", **body)
                self.datasets[made["id"]] = made
                return _bare(made)
            case "GET", "datasets", number:
                return _bare(self.datasets[number])
            case "PATCH", "datasets", number:
                self.datasets[number] |= {name: value for name, value in body.items() if name != "id"}
                return _bare(self.datasets[number])
            case "PUT", "datasets", number, "publish":
                self.datasets[number]["status"] = "ready"
                return _bare(self.datasets[number])
            case "POST", "datasets", number, ("fields" | "questions") as kind:
                made = {**body, **_new()}
                self.datasets[number][kind].append(made)
                return made
            case "GET", "datasets", number, ("fields" | "questions") as kind:
                return {"items": self.datasets[number][kind]}
            case ("GET", "datasets", _, "vectors-settings") | ("GET", "me", "datasets", _, "metadata-properties"):
                return {"items": []}
            case "PUT", "datasets", number, "records", "bulk":
                return self._upsert(self.datasets[number], body["items"])
            case "GET", "datasets", number, "records":
                start, limit = int(query["offset"][0]), int(query["limit"][0])
                return {"items": list(self.datasets[number]["records"].values())[start : start + limit]}
        raise LookupError(f"{method} {path}")

    def _upsert(self, dataset: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
        self.bulks.append(len(items))
        kept, updated = dataset["records"], []
        for item in items:
            key = item["external_id"]
            given = {name: item[name] for name in ("fields", "metadata", "suggestions")}
            assert item["fields"].keys() == {field["name"] for field in dataset["fields"]}
            if key in kept:
                updated.append(kept[key]["id"])
                kept[key] |= given
            else:
                kept[key] = _new(external_id=key, status="pending", responses=[], dataset_id=dataset["id"], **given)
        return {"items": [kept[item["external_id"]] for item in items], "updated_item_ids": updated}


def _bare(dataset: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dataset.items() if name not in {"fields", "questions", "records"}}


def _handler(fake: FakeArgilla) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            address = urlsplit(self.path)
            path = re.sub("^/?", "/", address.path)
            status, said = fake.status or 200, {}
            if self.headers["X-Argilla-Api-Key"] != KEY:
                status = 401
            elif fake.status is None:
                try:
                    said = fake.answer(self.command, path, parse_qs(address.query), body)
                except (LookupError, StopIteration) as error:
                    status, said = 404, {"detail": str(error)}
            data = json.dumps(said).encode()
            if fake.status is not None:
                data = f"<html>refused, {self.headers['X-Argilla-Api-Key']}\x1b[31m".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status != 200:  # a client that fails as it is made leaves its connection open
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = reply  # noqa: N815 - its names

        def log_message(self, *args: object) -> None: ...

    return Handler
