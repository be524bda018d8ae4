"""TRL itself trains on what is exported, with the configuration that comes with it: a tiny model, on the CPU."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curator.options import Wanted
from curator.steps.exporting import export_dataset
from curator.steps.softening import latest_softening
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
    rows = pairs(80, labelled=40)
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    rows[3]["tools"] = [tool]
    rows[4]["prompt"] = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "What is 1 + 1?"},
    ]  # fmt: skip
    raw, log = write_rows(folder / "raw.jsonl", rows), write_rows(folder / "log.jsonl", judgments(80))
    assert run(["label", str(raw), "--judgments", str(log)]) == 0
    return folder / "raw.curated" / "curator.duckdb"


@pytest.fixture
def train(model: Path, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """What `trl dpo --config trl-dpo.yaml` does in the folder of an export, but for two steps and with a tiny model.

    Gives the settings of the trainer and what it logged.
    """
    import trl

    def run(to: str, method: str) -> tuple[Any, list[dict[str, float]]]:
        script, folder = method.lower(), tmp_path / "a data set"
        with open_store(db) as store:
            result = views.latest_run(store)
            assert result is not None
            export_dataset(store, result, folder, Wanted(to, test=0.25 if to == "trl" else 0))
        monkeypatch.chdir(folder)
        quick: dict[str, Any] = {
            "model_name_or_path": model, "output_dir": tmp_path / "trained", "max_steps": 2, "max_length": 256,
            "gradient_accumulation_steps": 1, "learning_rate": 0.01, "dtype": "float32", "bf16": False, "use_cpu": True,
            "gradient_checkpointing": False, "save_strategy": "no", "logging_steps": 1, "report_to": "none",
            "disable_tqdm": True,
        }  # fmt: skip
        given = [text for name, value in quick.items() for text in (f"--{name}", str(value))]
        kinds = (trl.ScriptArguments, getattr(trl, f"{method}Config"), trl.ModelConfig, trl.DatasetMixtureConfig)
        chosen = trl.TrlParser(kinds).parse_args_and_config(["--config", f"trl-{script}.yaml", *given])
        logged: list[dict[str, float]] = []
        trainer = getattr(trl, f"{method}Trainer")
        log = trainer.log

        def noted(self: Any, *given: Any) -> None:
            log(self, *given)
            logged[:] = self.state.log_history

        monkeypatch.setattr(trainer, "log", noted)
        importlib.import_module(f"trl.scripts.{script}").main(*chosen)
        assert (tmp_path / "trained" / "model.safetensors").is_file()
        return chosen[1], logged

    return run


def test_dpo_trains_with_the_robust_loss(train: Callable[[str, str], Any]) -> None:
    settings, logged = train("trl", "DPO")
    assert (settings.loss_type, settings.label_smoothing) == (["robust"], 0.05), "half of the labels are a judge's"
    first, second = (found for found in logged if "loss" in found)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-4), "nothing has been learned yet"
    margin = second["rewards/margins"]
    wrong, right = math.log1p(math.exp(margin)), math.log1p(math.exp(-margin))
    assert second["loss"] == pytest.approx((0.95 * right - 0.05 * wrong) / 0.9, abs=1e-3)
    assert second["loss"] != pytest.approx(right, abs=1e-3)
    assert any("eval_loss" in found for found in logged), "the test split is what it is evaluated on"


def test_kto_trains(train: Callable[[str, str], Any]) -> None:
    _, logged = train("trl-kto", "KTO")
    first, second = (found["loss"] for found in logged if "loss" in found)
    assert first == pytest.approx(0.5, abs=1e-4)
    assert abs(second - first) > 1e-3, "the first step has changed the model"


def test_a_reward_model_trains_with_the_margin(train: Callable[[str, str], Any], db: Path) -> None:
    """Before anything is learned the loss is the logistic loss at -margin: ln 4 for a human label (3 to 1)."""
    _, logged = train("trl-reward", "Reward")
    first, _ = (found["loss"] for found in logged if "loss" in found)
    with open_store(db) as store:
        slope = latest_softening(store).slope
    assert slope is not None
    auto = math.log1p(math.exp(slope * math.log(9)))
    assert any(first == pytest.approx(mean, abs=0.01) for mean in (math.log(4), auto, (math.log(4) + auto) / 2))
