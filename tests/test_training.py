"""TRL itself trains on what is exported, with the configuration that comes with it: a tiny model, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator.options import Wanted
from curator.steps.exporting import export_dataset
from curator.store import open_store, views
from tests.conftest import judgments, pairs, write_rows

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore")

TEMPLATE = """{% if tools %}<tools>{{ tools | tojson }}</s>{% endif %}
{%- for message in messages %}<{{ message.role }}>{{ message.content }}</s>{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer model of random weights, whose tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    set_seed(0)
    folder = tmp_path_factory.mktemp("model")
    names = ["<pad>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens = Tokenizer(models.BPE(vocab={name: place for place, name in enumerate(names)}, merges=[]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="</s>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(names), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from curator.cli.main import run

    folder = tmp_path_factory.mktemp("raw")
    rows = pairs(40, labelled=20)
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    rows[3]["tools"] = [tool]
    rows[4]["prompt"] = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "What is 1 + 1?"},
    ]  # fmt: skip
    raw, log = write_rows(folder / "raw.jsonl", rows), write_rows(folder / "log.jsonl", judgments(40))
    assert run(["label", str(raw), "--judgments", str(log)]) == 0
    return folder / "raw.curated" / "curator.duckdb"


@pytest.mark.parametrize(
    ("to", "script", "method"),
    [
        ("trl", "dpo", "DPO"),
        ("trl-implicit", "dpo", "DPO"),
        ("trl-kto", "kto", "KTO"),
        ("trl-reward", "reward", "Reward"),
    ],
)
def test_trl_trains_two_steps(
    to: str, script: str, method: str, model: Path, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `trl dpo --config trl-dpo.yaml` does in the folder, but for two steps and with a tiny model."""
    import importlib

    import trl

    with open_store(db) as store:
        result = views.latest_run(store)
        assert result is not None
        export_dataset(store, result, tmp_path / "data set", Wanted(to, test=0.25))
    monkeypatch.chdir(tmp_path / "data set")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    parser = trl.TrlParser(
        (trl.ScriptArguments, getattr(trl, f"{method}Config"), trl.ModelConfig, trl.DatasetMixtureConfig)
    )
    quick: dict[str, Any] = {
        "model_name_or_path": model, "max_steps": 2, "gradient_accumulation_steps": 1, "max_length": 256,
        "report_to": "none", "use_cpu": True, "bf16": False, "output_dir": tmp_path / "trained",
        "logging_steps": 1, "dtype": "float32",
        "gradient_checkpointing": False, "save_strategy": "no", "disable_tqdm": True, "learning_rate": 0.01,
    }  # fmt: skip
    arguments = [text for name, value in quick.items() for text in (f"--{name}", str(value))]
    chosen = parser.parse_args_and_config(["--config", f"trl-{script}.yaml", *arguments])
    if script == "dpo":
        assert (chosen[1].loss_type, chosen[1].label_smoothing) == (["robust"], 0.05), (
            "half of the labels are the judge's, at alpha .1"
        )
    seen: list[dict[str, float]] = []
    trainer = getattr(trl, f"{method}Trainer")
    log = trainer.log
    monkeypatch.setattr(trainer, "log", lambda self, logs, *rest: (seen.append(dict(logs)), log(self, logs, *rest)))
    importlib.import_module(f"trl.scripts.{script}").main(*chosen)
    losses = [logs["loss"] for logs in seen if "loss" in logs]
    assert len(losses) == 2
    assert (tmp_path / "trained" / "model.safetensors").is_file()
