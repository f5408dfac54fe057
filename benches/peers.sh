# Installs the peers that a benchmark compares with, under target/ and nowhere else. Sourced by the run.sh of Python and
# Node.js, in the root of the repository.

target=${CARGO_TARGET_DIR:-$PWD/target}

# python_peers FOLDER NAME: sets `environment` to one that has FOLDER/requirements.txt and the wheel, built as for the tests.
python_peers() {
	local python=${PYTHON:-python3} tag
	tag=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
	environment=$target/python/$2-$tag
	bindings-python/tools/install.sh
	if ! cmp --silent "$1/requirements.txt" "$environment/.installed"; then
		rm -rf "$environment"
		"$python" -m venv "$environment"
		"$environment/bin/pip" install --quiet --disable-pip-version-check -r "$1/requirements.txt"
		cp "$1/requirements.txt" "$environment/.installed"
	fi
	"$environment/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall \
		"$target"/python/wheels/scrubjay-*.whl
	mkdir -p "$target/bench"
}

# node_peers FOLDER NAME: exports PEERS, a folder with what FOLDER/package.json names, and PACKAGE, ours, built.
node_peers() {
	export PEERS=$target/$2 PACKAGE=$PWD/bindings-node
	mkdir -p "$PEERS" "$target/bench"
	if ! cmp -s "$1/package.json" "$PEERS/package.json"; then
		rm -rf "$PEERS/node_modules" "$PEERS/package-lock.json"
		cp "$1/package.json" "$PEERS/package.json"
		(cd "$PEERS" && npm install --no-audit --no-fund --silent)
	fi
	(cd "$PACKAGE" && npm run --silent build)
}
