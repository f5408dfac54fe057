# Makes the environments of the Python package; sourced by install.sh and test.sh, which stand in bindings-python.
#
# tools: maturin and ruff. clean: what runs the tests, and the wheel itself; nothing else can be imported there.
# PYTHON is the interpreter (default python3). Everything lies under CARGO_TARGET_DIR (default target/), and a second
# run with nothing changed installs nothing.
# shellcheck shell=bash

target=${CARGO_TARGET_DIR:-$PWD/../target}
export CARGO_TARGET_DIR=$target
python=${PYTHON:-python3}
home=$target/python
tag=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
tools=$home/tools-$tag
clean=$home/clean-$tag
mkdir -p "$home"

environment() { # folder, requirements…
	local folder=$1 want
	shift
	want=$(printf '%s\n' "$@")
	if [ "$(cat "$folder/.installed" 2>/dev/null)" != "$want" ]; then
		rm -rf "$folder"
		"$python" -m venv "$folder"
		"$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
		printf '%s\n' "$want" >"$folder/.installed"
	fi
}

pins() { sed -e 's/ *#.*//' -e '/^$/d' requirements-dev.txt; }

make_tools() {
	local builders
	mapfile -t builders < <(pins | grep -E '^(maturin|ruff)==')
	environment "$tools" "${builders[@]}"
}

# Builds the wheel, and installs it where it is not yet.
install_wheel() {
	local testers wheel sum
	mapfile -t testers < <(pins | grep -vE '^(maturin|ruff)==')
	environment "$clean" "${testers[@]}"
	rm -f "$home"/wheels/*.whl
	"$tools/bin/maturin" build --quiet --release --interpreter "$python" --out "$home/wheels"
	wheel=$(echo "$home"/wheels/scrubjay-*-cp311-abi3-*.whl)
	sum=$(sha256sum <"$wheel")
	if [ "$(cat "$clean/.wheel" 2>/dev/null)" != "$sum" ]; then
		"$clean/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$wheel"
		printf '%s\n' "$sum" >"$clean/.wheel"
	fi
}
