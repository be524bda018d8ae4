"""What can go wrong, as a tree. Only `curator.cli` turns these into messages and exit codes.

CuratorError
├── InputError            a file the user gave cannot be used as a whole
├── AnnotationError       the server of an annotation tool cannot be used
├── HubError              the hub, or the client for it, cannot be used
├── RecipeError           a recipe or judge template is not valid
├── StoreError            the DuckDB file cannot be used
│   ├── StoreLocked       another process writes to it
│   └── StoreVersionError it was made by a newer curator
├── JudgeError            the judge cannot be used as it is
│   ├── JudgeUnreachable  no server answers
│   └── JudgeRefused      it answers, but its answers are not verdicts
└── Interrupted           the user asked to stop; what was judged is kept
"""

from __future__ import annotations


class CuratorError(Exception):
    """Base of every expected failure: its text says what happened and what to do."""


class InputError(CuratorError):
    """A file given by the user cannot be used as a whole (a single bad row is a reject, not this)."""


class AnnotationError(CuratorError):
    """The server of an annotation tool, or the client for it, cannot be used."""


class HubError(CuratorError):
    """The hub that a data set is to be sent to, or the client for it, cannot be used."""


class RecipeError(CuratorError):
    """A recipe or judge template is missing or does not match its schema."""


class StoreError(CuratorError):
    """The store cannot be opened, read or written."""


class StoreLocked(StoreError):
    """Another process has the store open for writing: `holder`, its number, where that is known."""

    def __init__(self, message: str, holder: str | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class StoreVersionError(StoreError):
    """The store was written by a newer version of curator."""


class JudgeError(CuratorError):
    """The judge cannot be used as it is."""


class JudgeUnreachable(JudgeError):
    """No judge server answers."""


class JudgeRefused(JudgeError):
    """The judge answers, but the probe shows that its answers are not verdicts."""


class Interrupted(CuratorError):
    """The user asked to stop. Everything judged so far is in the store."""
