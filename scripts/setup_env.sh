#!/usr/bin/env bash
# Set up .venv with pinned versions and say which torch build it got.
# Usage: scripts/setup_env.sh [VENV]      TORCH_BACKEND=auto|cpu|cu130|...|default  PYTHON=python3.12
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
backend=${TORCH_BACKEND:-auto}
say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if usable "$candidate"; then command -v "$candidate"; return; fi
    done
    die "no usable Python found (tried: ${PYTHON:-python3.11 python3.12 python3.13 python3}). hoiray needs Python 3.11 to 3.13 \
with venv and ensurepip; on Debian and Ubuntu: apt-get install python3 python3-venv"
}

install_with_uv() {
    local uv=$venv/bin/uv torch_args=()
    local pins=()
    mapfile -t pins < <(grep -E '^(torch|torchvision)==' constraints.txt)
    # The machine's own build (CPU wheels are a tenth of the size) lives on torch's index; where that cannot be
    # reached, the default index serves the CUDA build, which runs on CPUs as well. Asked as if nothing were installed:
    # what is there already would be found without the index.
    if [ "$backend" != default ]; then
        if UV_HTTP_RETRIES=0 UV_HTTP_TIMEOUT=15 "$uv" pip install -q --dry-run --reinstall --no-deps -p "$venv" \
            --torch-backend="$backend" "${pins[@]}" >/dev/null 2>&1; then
            torch_args=(--torch-backend="$backend")
        elif [ "$backend" = auto ]; then
            say "torch's own index is out of reach: taking the default index's build"
        else
            die "TORCH_BACKEND=$backend cannot be had: torch's own index is out of reach or has no such build. Use TORCH_BACKEND=default"
        fi
    fi
    # A registry now and then drops a connection in several GB of wheels: the second try takes up from the cache.
    local try
    for try in 1 2 3; do
        # as pip does: where Python may write no bytecode, every process would compile torch and Ray anew, for 10 s
        UV_HTTP_TIMEOUT=180 "$uv" pip install -q --compile-bytecode -p "$venv" "${torch_args[@]}" -c constraints.txt -e '.[dev]' && return
        say "the install broke off (try $try of 3)"
    done
    return 1
}

python=$(find_python)
say "environment $venv from $("$python" --version) ($python)"
[ -x "$venv/bin/python" ] && usable "$venv/bin/python" || "$python" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check -q)
uv_pin=$(grep -E '^uv==' constraints.txt)
if "${pip[@]}" install "$uv_pin" 2>/dev/null; then
    say "installing pinned packages (several GB with the CUDA build; about a minute with a cold cache)"
    install_with_uv || die "the pinned packages could not be installed; uv's message is above"
else
    say "uv is not to be had here; installing with pip (slower)"
    "${pip[@]}" install -c constraints.txt -e '.[dev]'
fi
"$venv/bin/python" - <<'PY'
import torch
cuda = torch.version.cuda
build = f"CUDA {cuda} build" if cuda else "CPU build"
seen = f"{torch.cuda.device_count()} GPU(s)" if torch.cuda.is_available() else "no GPU: runs on the CPU"
print(f"[setup] torch {torch.__version__} ({build}; {seen})")
PY
