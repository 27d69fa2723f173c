# Sourced by the scripts beside it: makes a virtual environment in .venv and installs this checkout.
# Takes the extras to install ("" or "[dev]").  The variable PYTHON names the interpreter to use.
environment() {
    root=$(cd "$(dirname "$0")/.." && pwd)
    python=${PYTHON:-python3}
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "error: gnomon needs Python 3.11 or newer, and '$python' is not" >&2
        echo "hint: name one that is, as in PYTHON=python3.12 $0" >&2
        exit 1
    fi
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    stamp="$root/.venv/.installed$1"
    if [ ! -f "$stamp" ] || [ "$root/pyproject.toml" -nt "$stamp" ]; then
        echo "installing gnomon into $root/.venv (about a minute)" >&2
        "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable "$root$1" >&2
        touch "$stamp"
    fi
}
