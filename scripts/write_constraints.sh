#!/usr/bin/env bash
# Resolve pyproject.toml anew into constraints.txt: names and versions only, no addresses.
# The CUDA libraries are left out: which ones are needed depends on the torch build a machine takes.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
wanted=$(mktemp)
trap 'rm -f "$wanted"' EXIT
# torch and its vision package are raised by hand, together: every other pin may move.
grep -E '^(torch|torchvision)==' constraints.txt >"$wanted"
{
    echo "# Versions hoiray is tested with. Made by scripts/write_constraints.sh; change pyproject.toml, not this file."
    "$uv" pip compile pyproject.toml --extra dev --universal --python-version 3.11 -c "$wanted" \
        --no-header --no-annotate -q | grep -vE '^(nvidia-|cuda-|triton==)'
    "$uv" --version | awk '{print "uv==" $2}'
} >constraints.new
mv constraints.new constraints.txt
