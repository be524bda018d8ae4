"""What Label Studio is given: tasks and a labelling configuration.

Its HyperText shows HTML that only scripts, frames and event handlers were taken out of, and its Markdown loads images
from anywhere. So it gets HTML of curator's own making, in which there is nothing to take out.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from curator.annotation.base import CHOICES, QUESTION, Task, json_array, judge_says, signs_say, write_files
from curator.rendering import to_html, visible

VERDICT, NOTE = "verdict", "note"
"""The names of the controls."""

DATA = {"pair_id", "prompt_html", "left_html", "right_html", "left_json", "judge"}
"""The fields of a task."""

# Sides stand beside each other as long as each has 22em. Only greys that suit the light and the dark theme.
_STYLE = """
    .curator-sides { display: flex; flex-wrap: wrap; gap: 1em; margin: 1em 0 }
    .curator-sides .curator-text { flex: 1 1 22em; min-width: 0 }
    .curator-text { border: 1px solid rgba(128, 128, 128, .4); border-radius: 6px; padding: .5em 1em }
    .curator-text article, .curator-text dl { line-height: 1.5; overflow-wrap: anywhere }
    .curator-text p, .curator-text ul, .curator-text ol, .curator-text table { margin: .5em 0 }
    .curator-text ul { list-style: disc; padding-left: 1.5em }
    .curator-text ol { list-style: decimal; padding-left: 1.5em }
    .curator-text dt { font-weight: 600; margin-top: .75em }
    .curator-text dd, .curator-text blockquote { border-left: 3px solid rgba(128, 128, 128, .4) }
    .curator-text dd, .curator-text blockquote { margin: 0; padding-left: 1em }
    .curator-text pre { overflow-x: auto; padding: .5em; background: rgba(128, 128, 128, .12); white-space: pre-wrap }
    .curator-text code { font: .9em/1.45 monospace !important; background: rgba(128, 128, 128, .12) }
    .curator-text pre code { background: none }
    .curator-text h1, .curator-text h2, .curator-text h3 { font-size: 1.15em; font-weight: 600; margin: .75em 0 }
    .curator-text th, .curator-text td { border: 1px solid rgba(128, 128, 128, .4); padding: .2em .5em }
    .curator-verdict { position: sticky; bottom: -1em; padding: .5em 0 1em; z-index: 1 }
    .curator-verdict { border-top: 1px solid rgba(128, 128, 128, .4); background: var(--color-neutral-background) }
"""

_CONFIG = """\
<View>
  <Style>{style}</Style>
  <View className="curator-text">
    <HyperText name="prompt" value="$prompt_html" inline="true"/>
  </View>
  <View className="curator-sides">
    <View className="curator-text">
      <Header value="Left" size="5"/>
      <HyperText name="left" value="$left_html" inline="true"/>
    </View>
    <View className="curator-text">
      <Header value="Right" size="5"/>
      <HyperText name="right" value="$right_html" inline="true"/>
    </View>
  </View>
  <View className="curator-verdict">
    <Header value="{question}" size="5"/>
    <Choices name="{verdict}" toName="prompt" choice="single-radio" showInline="true" required="true">
{choices}
    </Choices>
  </View>
  <TextArea name="{note}" toName="prompt" rows="1" maxSubmissions="1" editable="true" placeholder="Note"/>
</View>
"""

_HOW = """\
Labelling in Label Studio
=========================

1. Create a project.
2. Settings > Labeling Interface > Code: paste label-studio-config.xml and save.
3. Import queue-0001.label-studio.json and the files after it, in their order. Each is a list of tasks.
4. Label in the order of the tasks and leave none out: "Cannot say" is an answer. What Label Studio's own Skip button
   skips is not counted.
5. Export as JSON (or JSON-MIN, CSV, TSV), then: curator import EXPORT --db CURATOR.DUCKDB

Steps 1 to 3 by its API, in this folder, with an access token of your account:

  pip install label-studio-sdk
  python - <<'END'
  from pathlib import Path
  import json
  from label_studio_sdk import LabelStudio
  studio = LabelStudio(base_url="http://localhost:8080", api_key="TOKEN")
  project = studio.projects.create(title="curator", label_config=Path("label-studio-config.xml").read_text())
  for path in sorted(Path(".").glob("queue-*.label-studio.json")):
      studio.projects.import_tasks(project.id, request=json.loads(path.read_text()))
  END

Several people may answer the same task (Settings > Quality > annotations per task, where your edition has it): each
answer is a label of its own. Leave out pre-labelling by a model: answers to tasks that show a prediction are kept, but
do not calibrate.
"""


def config() -> str:
    """The labelling configuration: prompt, sides, the choices under their names, a note."""
    choices = "\n".join(
        f'      <Choice value="{html.escape(words)}" alias="{name}" hotkey="{key}"/>'
        for key, (name, words) in enumerate(CHOICES.items(), 1)
    )
    return _CONFIG.format(style=_STYLE, question=html.escape(QUESTION), verdict=VERDICT, note=NOTE, choices=choices)


def set_up(folder: Path) -> list[Path]:
    """Write the labelling configuration and what to do with it."""
    return write_files(folder, {"label-studio.txt": _HOW.encode(), "label-studio-config.xml": config().encode()})


def encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    """A file of tasks to import: a JSON array, a task at a time."""
    return json_array({"data": _data(Task.of(line))} for line in lines)


def _data(task: Task) -> dict[str, Any]:
    """What a task shows, and what its answer is known by.

    The left text comes back as JSON: without line ends, which CSV may change, without the zero bytes that Label
    Studio's database refuses, and behind a quotation mark, so that no spreadsheet takes it for a formula.
    """
    # Text and no prediction: that would tick the judge's choice beforehand.
    said = "" if task.judge is None else f"<p><strong>The judge {judge_says(task.judge)}.</strong></p>"
    if warned := signs_say(task.signs):
        said += f"<p><em>{html.escape(warned)}</em></p>"
    data: dict[str, Any] = {
        "pair_id": task.pair_id,
        "prompt_html": said + _conversation(task.prompt),
        "left_html": _article(task.left),
        "right_html": _article(task.right),
        "left_json": orjson.dumps(task.left).decode(),
    }
    return data if task.judge is None else {**data, "judge": dict(task.judge)}


def _article(text: str) -> str:
    return f"<article>{to_html(text)}</article>"


def _conversation(messages: list[dict[str, str]]) -> str:
    """Messages under their roles. No Markdown makes a list of terms, so that no message can pretend to be two."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return _article(messages[0]["content"])
    turns = (f"<dt>{html.escape(visible(m['role']))}</dt><dd>{to_html(m['content'])}</dd>" for m in messages)
    return f"<dl>{''.join(turns)}</dl>"
