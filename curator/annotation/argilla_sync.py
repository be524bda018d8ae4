"""Brings the tasks of this folder to an Argilla server, and what people said of them back.

    python argilla-sync.py push NAME         every queue-*.argilla.json beside this file; again: updates, doubles none
    python argilla-sync.py pull NAME FILE    a line a record, with answers, users and times, for `curator import FILE`

The server and the key are read from ARGILLA_API_URL and ARGILLA_API_KEY. Needs the client: pip install argilla
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import argilla

BATCH = 250
"""Records a request."""


class NotThere(LookupError):
    """The server has no such workspace or dataset."""


@contextmanager
def connected() -> Iterator[Any]:
    """The client, logged in as the environment says."""
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if not url or not key:
        raise SystemExit("set ARGILLA_API_URL and ARGILLA_API_KEY")
    client = argilla.Argilla(api_url=url, api_key=key, retries=1, **proxy_for(url))
    try:
        yield client
    finally:
        client.http_client.close()


def proxy_for(url: str) -> dict[str, str]:
    """The proxy that the environment names for a server, which the client does not ask for by itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(host):
        return {}
    proxy = getproxies().get(parts.scheme)
    return {"proxy": proxy} if proxy else {}


def workspace_of(client: Any, name: str | None) -> Any:
    """The workspace of a name; without one, the only workspace there is."""
    found = [one for one in client.workspaces.list() if name in (None, one.name)]
    if len(found) != 1:
        there = ", ".join(one.name for one in client.workspaces.list()) or "none"
        raise NotThere(f"name one workspace with --workspace; there are: {there}")
    return found[0]


def dataset_of(workspace: Any, name: str) -> Any:
    """The dataset of a name, or None."""
    return next((one.get() for one in workspace.datasets if one.name == name), None)


def push(client: Any, settings: Path, shards: Iterable[Path], name: str, workspace: str | None) -> Iterator[int]:
    """Make the dataset where there is none, and log the records of all files; yields how many after each file."""
    place = workspace_of(client, workspace)
    dataset = dataset_of(place, name)
    if dataset is None:
        made = argilla.Settings.from_json(settings)
        dataset = argilla.Dataset(name=name, workspace=place, settings=made, client=client).create()
    if {field.name for field in dataset.fields} != {"prompt", "left", "right"}:
        raise NotThere(f"dataset {name} holds something else: choose another name")
    for path in shards:
        records = [argilla.Record.from_dict(one) for one in json.loads(path.read_bytes())]
        if records:
            dataset.records.log(records, batch_size=min(BATCH, len(records)))
        yield len(records)


def pull(client: Any, name: str, workspace: str | None, page: int = 100) -> Iterator[dict[str, Any]]:
    """Every record of a dataset, as the server tells it, without its texts and with the names of users."""
    place = workspace_of(client, workspace)
    dataset = dataset_of(place, name)
    if dataset is None:
        raise NotThere(f"workspace {place.name} has no dataset {name}")
    users = {str(user.id): user.username for user in [*place.users, client.me]}
    url, include = f"/api/v1/datasets/{dataset.id}/records", ["responses", "suggestions"]
    for start in count(0, page):
        reply = client.http_client.get(url, params={"include": include, "offset": start, "limit": page})
        records = reply.raise_for_status().json()["items"]
        for record in records:
            del record["fields"]
            for response in record["responses"]:
                response["username"] = users.get(response["user_id"])
            yield record
        if len(records) < page:
            return


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["push", "pull"])
    parser.add_argument("name", help="of the dataset")
    parser.add_argument("file", nargs="?", help="to write to, of pull")
    parser.add_argument("--workspace", help="where you have several")
    given = parser.parse_args()
    if (given.what == "pull") != bool(given.file):
        parser.error("pull wants a FILE, and push none")
    here = Path(__file__).parent
    with connected() as client:
        if given.what == "push":
            shards = sorted(here.glob("queue-*.argilla.json"))
            sent = sum(push(client, here / "argilla-settings.json", shards, given.name, given.workspace))
            print(sent, "records sent")
            return
        written = 0
        with Path(given.file).open("w", encoding="utf-8") as file:
            for record in pull(client, given.name, given.workspace):
                file.write(json.dumps(record) + "\n")
                written += 1
        print(written, "records written")


if __name__ == "__main__":
    main()
