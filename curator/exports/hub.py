"""Sends a data set that curator wrote to the hub, through its own client, and nothing else that lies in a folder."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator.errors import HubError, InputError
from curator.exports.card import PICTURE
from curator.exports.header import DEMONSTRATION, TAG, About, described, read_card
from curator.hiding import hidden

CARD = "README.md"

_OURS = re.compile(
    rf"{CARD}|{re.escape(PICTURE)}|dataset_info\.json|(trl|openrlhf|axolotl|llamafactory)[a-z-]*\.(yaml|sh)"
    r"|data/[a-z]+-\d{5}-of-\d{5}\.(parquet|jsonl|json)"
)
"""Paths of files that exports write. Stores, queues, rejects and `run.json` are none of them."""

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Shipment:
    """What would go to the hub.

    Attributes:
        repo: owner and name.
        private: whether it would be made private, if it is not there yet.
        revision: the branch; None: main.
        card: the card, with what its owner says of the data.
        files: every file by its path in the repository, sorted: where it lies here.
    """

    repo: str
    private: bool
    revision: str | None
    card: str
    files: Mapping[str, Path]

    @property
    def url(self) -> str:
        return hidden(f"{endpoint()}/datasets/{self.repo}")

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file as they would go."""
        own = {CARD: len(self.card.encode())}
        return {name: own.get(name) or path.stat().st_size for name, path in self.files.items()}


def endpoint() -> str:
    """Address of the hub: of the environment variable HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def prepare(
    folder: Path, repo: str, *, private: bool = False, revision: str | None = None, about: About | None = None,
    demonstration: bool = False,
) -> Shipment:  # fmt: skip
    """Look at a data set's folder and say what would go. Nothing is sent, and no server is asked.

    Args:
        folder: as `curator label` or `curator export` wrote it.
        repo: OWNER/NAME.
        about: what the owner of the data says of it.
        demonstration: send the labels of a demonstration judge, too.

    Raises:
        InputError: the folder is no data set of ours, holds other files, or has labels of a demonstration judge.
        HubError: the client is not installed, or the repository cannot be called so.
    """
    _require_names(repo, revision)
    files = _files(folder)
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
        header, _ = read_card(card)
        card = described(card, about or About())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{folder} is no data set: its {CARD} {reason}") from None
    tags = header.get("tags")
    if not isinstance(tags, list) or TAG not in tags or not any(name.startswith("data/") for name in files):
        raise InputError(f"{folder} is no data set that curator wrote")
    if DEMONSTRATION in tags and not demonstration:
        raise InputError(
            f"{folder} holds labels of a demonstration judge, which nobody should train on: --allow-demonstration "
            "sends them all the same"
        )
    return Shipment(repo, private, revision, card, files)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    files: dict[str, Path] = {}
    others = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or _OURS.fullmatch(name)):
            others.append(name)
        elif path.is_file():
            files[name] = path
    if CARD not in files:
        raise InputError(f"{folder} is no data set: it has no {CARD}")
    if others:
        named = ", ".join(others[:_MOST_NAMED]) + (", ..." if len(others) > _MOST_NAMED else "")
        raise InputError(f"{folder} holds files that are no part of the data set, and nothing goes: {named}")
    return files


def _require_names(repo: str, revision: str | None) -> None:
    """Raises HubError for what the hub would not take as a name."""
    hub = _client()
    try:
        hub.utils.validate_repo_id(repo)
    except ValueError as error:
        raise HubError(str(error)) from None
    if repo.count("/") != 1:
        raise HubError(f"{repo!r} does not say whose it is: write it as OWNER/NAME")
    if revision is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", revision):
        raise HubError(f"no branch can be called {revision!r}")


def send(shipment: Shipment) -> tuple[str, bool]:
    """Send it, as one commit, with the token of the environment variable HF_TOKEN.

    Files of an earlier shipment that are no part of this one are deleted by the same commit: `datasets` would read
    their rows, too.

    Returns:
        The address of the commit, and whether the repository is private.

    Raises:
        HubError: there is no token, the hub does not answer or refuses, the repository holds what curator did not
            write, or it is public and was to be private. No message holds the token.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        raise HubError("--send needs a token that may write, in the environment variable HF_TOKEN")
    if not re.fullmatch(r"[!-~]+", token):
        raise HubError("HF_TOKEN holds characters that no token has")
    hub = _client()
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    try:
        with warnings.catch_warnings(action="ignore"):
            return _send(hub, hub.HfApi(endpoint=endpoint(), token=token, library_name=TAG), shipment)
    except HubError:
        raise
    except Exception as error:  # what the client and its transports raise has no common base
        said = hidden(f"{type(error).__name__}: {error}", endpoint())
        raise HubError(f"the hub at {hidden(endpoint())}: {' '.join(said.split())[:500]}") from None


def _send(hub: Any, api: Any, shipment: Shipment) -> tuple[str, bool]:
    here = {"repo_id": shipment.repo, "repo_type": "dataset"}
    api.create_repo(**here, private=shipment.private, exist_ok=True)
    if shipment.revision is not None:
        api.create_branch(**here, branch=shipment.revision, exist_ok=True)
    info = api.repo_info(**here, revision=shipment.revision)
    if shipment.private and not info.private:
        raise HubError(f"{shipment.url} is there and public: what is sent would be for everybody to see")
    there = [file.rfilename for file in info.siblings or [] if file.rfilename != ".gitattributes"]
    if there and TAG not in (info.tags or []):
        raise HubError(f"{shipment.url} holds what curator did not write: choose another name, or another --revision")
    adding = [
        hub.CommitOperationAdd(name, shipment.card.encode() if name == CARD else str(path))
        for name, path in shipment.files.items()
    ]
    made = api.create_commit(
        **here,
        operations=[*adding, *(hub.CommitOperationDelete(name) for name in stale(there, shipment.files))],
        commit_message="Preference pairs labelled with curator",
        revision=shipment.revision,
        parent_commit=info.sha,
    )
    return str(made.commit_url), bool(info.private)


def stale(there: Sequence[str], files: Mapping[str, Path]) -> list[str]:
    """Of the files in a repository, those that an earlier shipment brought and this one does not replace."""
    return [name for name in there if _OURS.fullmatch(name) and name not in files]


def _client() -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):
            import huggingface_hub
            import huggingface_hub.utils
    except ImportError:
        raise HubError("push needs the hub's client: pip install 'preference-curator[hub]'") from None
    return huggingface_hub
