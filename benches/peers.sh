# Builds ours and installs the peers that a benchmark compares with, under target/ and nowhere else. Sourced by the run.sh
# of each language; it goes to the root of the repository.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
target=${CARGO_TARGET_DIR:-$PWD/target}
# Where figures go; a test says otherwise.
figures=${BENCH_OUT:-$target/bench}
mkdir -p "$target/bench" "$figures"

# result NAME: the file for the figures of one language.
result() { echo "${OUT:-$figures/$1.json}"; }

# rust_bench NAME: builds target/release/scrubjay-bench-NAME.
rust_bench() {
	cargo build --quiet --locked --release --manifest-path benches/Cargo.toml --target-dir "$target" -p "scrubjay-bench-$1"
}

# go_bench FOLDER NAME: builds target/bench/NAME.
go_bench() {
	go/tools/lib.sh "${PROFILE:-release}"
	# go build does not see that the library changed.
	rm -f "$target/bench/$2"
	(cd "$1" && GOMODCACHE=$target/bench/go-modules GOFLAGS=-modcacherw go build -o "$target/bench/$2" .)
}

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
}

# node_peers FOLDER NAME: exports PEERS, a folder with what FOLDER/package.json names, and PACKAGE, ours, built.
node_peers() {
	export PEERS=$target/$2 PACKAGE=$PWD/bindings-node
	mkdir -p "$PEERS"
	if ! cmp -s "$1/package.json" "$PEERS/package.json"; then
		rm -rf "$PEERS/node_modules" "$PEERS/package-lock.json"
		cp "$1/package.json" "$PEERS/package.json"
		(cd "$PEERS" && npm install --no-audit --no-fund --silent)
	fi
	(cd "$PACKAGE" && npm run --silent build)
}
