"""What can be exported, by the name that `--to` takes. To add a trainer, write its module and name it here."""

from __future__ import annotations

EXPORTS = ("trl",)
