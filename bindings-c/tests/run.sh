#!/usr/bin/env bash
# Every test of the C library: a line for each, and "N passed, M failed" last. It fails when one did.
#
# SCRUBJAY_LIB_DIR       folder with libscrubjay.so and libscrubjay.a; ../target/release by default
# SCRUBJAY_INSTRUMENT=1  also builds the library with AddressSanitizer in it, and runs all programs against that
# SCALE                  how long flat.c runs: 1 is a million operations on each backend
set -uo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
export SCRUBJAY_LIB_DIR
SCRUBJAY_LIB_DIR=$(realpath -m "${SCRUBJAY_LIB_DIR:-$here/../target/release}")
work=$(mktemp -d)
redis=
passed=0
failed=0

clean() {
	if [ -n "$redis" ]; then
		kill "$redis" 2>/dev/null
		wait "$redis" 2>/dev/null
	fi
	rm -rf "$work"
}
trap clean EXIT

pass() {
	passed=$((passed + 1))
	echo "c $1 ok"
}

flunk() { # name, file with what it said
	failed=$((failed + 1))
	echo "c $1 FAILED"
	tail -n 40 "$2" | sed 's/^/    /'
}

check() { # name, command or function…
	local name=$1
	shift
	if (if declare -F "$1" >/dev/null; then "$@"; else timeout 60 "$@"; fi) >"$work/log" 2>&1; then
		pass "$name"
	else
		flunk "$name" "$work/log"
	fi
}

# A program that prints "ok TEST" for each of its tests.
program() { # name, file, arguments…
	local name=$1 line count=0 status
	shift
	timeout 600 "$@" >"$work/out" 2>"$work/log"
	status=$?
	while read -r line; do
		pass "$name ${line#ok }"
		count=$((count + 1))
	done < <(grep '^ok ' "$work/out")
	if [ "$status" != 0 ] || [ "$count" = 0 ]; then
		echo "it ended with the status $status" >>"$work/log"
		flunk "$name" "$work/log"
	fi
}

start_redis() {
	local try port
	for try in $(seq 20); do
		port=$((20000 + (RANDOM * 3 + try) % 40000))
		redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir "$work" \
			--user deaf on nopass "~*" "&*" +@all -subscribe -ssubscribe >"$work/redis.log" 2>&1 &
		redis=$!
		for _ in $(seq 100); do
			kill -0 "$redis" 2>/dev/null || break
			if grep -q 'Ready to accept connections' "$work/redis.log"; then
				export SCRUBJAY_TEST_REDIS=redis://127.0.0.1:$port
				return 0
			fi
			sleep 0.05
		done
		kill "$redis" 2>/dev/null
		wait "$redis" 2>/dev/null
		redis=
	done
	echo "redis-server did not start" >&2
	return 1
}

# Only the calls of the header are seen from outside.
exports() { # nm's options, library
	local header
	header=$(grep -o '\bsj_[a-z_]*(' "$prefix/include/scrubjay.h" | tr -d '(' | grep -v '^sj_text$' | sort -u)
	diff <(echo "$header") <(nm $1 --defined-only "$2" | awk 'NF == 3 { print $3 }' | sort -u)
}

named_so_0() { readelf -d "$prefix/lib/libscrubjay.so" | grep 'SONAME.*\[libscrubjay.so.0\]'; }

# The text of the README's blocks of a language: each in a file.
block() { awk -v start="\`\`\`$1" '$0 == start { on = 1; next } /^```/ { on = 0 } on' "$here/README.md"; }

hello_output() {
	cat <<-'END'
		greeting: "hello"
		farewell: a miss
		user:7: {"name": "Ada", "age": 36}, loaded 1 times
		user:7: {"name": "Ada", "age": 36}, loaded 1 times
		user:7: {"name": "Ada", "age": 36}, loaded 1 times
		InvalidKey: key must be 1 to 1024 bytes, has 0
	END
}

says_hello() { timeout 60 "$@" >"$work/said" && diff <(hello_output) "$work/said"; }
says_events() {
	timeout 60 "$@" >"$work/said" && diff <(echo "1000 requests answered, 0 failed, 20 queries") "$work/said"
}

links_library() { # yes|no, program
	# Not through a pipe: grep leaves at the first match, and ldd would fail on what it still has to say.
	ldd "$2" >"$work/ldd" || return
	if grep -q libscrubjay "$work/ldd"; then [ "$1" = yes ]; else [ "$1" = no ]; fi
}

# The lines that the README gives for a compiler, with hello.c as app.c.
readme_cc() { # which of them, whether the program asks for the library at run time
	rm -rf "$work/app" && mkdir "$work/app" && cp "$here/examples/hello.c" "$work/app/app.c" && cd "$work/app" || return
	local line
	line=$(block sh | grep '^cc ' | sed -n "$1p")
	[ -n "$line" ] || return
	PKG_CONFIG_PATH=$prefix/lib/pkgconfig bash -ec "$line" && links_library "$2" ./app &&
		LD_LIBRARY_PATH=$prefix/lib says_hello ./app
}

# The README's CMakeLists.txt.
readme_cmake() { # target, whether the program asks for the library at run time
	rm -rf "$work/app" && mkdir "$work/app" && cp "$here/examples/hello.c" "$work/app/app.c" && cd "$work/app" || return
	block cmake | sed "s/Scrubjay::scrubjay)/Scrubjay::$1)/" >CMakeLists.txt
	grep -q "Scrubjay::$1)" CMakeLists.txt && cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" && cmake --build build &&
		links_library "$2" build/app && says_hello build/app
}

cmake_versions() { # version asked for, whether it is to be found
	rm -rf "$work/app" && mkdir "$work/app" && cd "$work/app" || return
	printf 'cmake_minimum_required(VERSION 3.13)\nproject(app C)\nfind_package(Scrubjay %s REQUIRED)\n' "$1" >CMakeLists.txt
	if cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix"; then [ "$2" = yes ]; else [ "$2" = no ]; fi
}

# Every block of C in the README stands in an example, as it is.
readme_snippets() {
	python3 - "$here/README.md" "$here"/examples/*.c <<-'END'
		import re, sys
		readme, *examples = [open(path).read() for path in sys.argv[1:]]
		blocks = re.findall(r"^```c\n(.*?)^```$", readme, re.M | re.S)
		lost = [block for block in blocks if not any(block in example for example in examples)]
		for block in lost:
		    print("in no example:\n" + block)
		sys.exit(1 if lost or not blocks else 0)
	END
}

# --- what is installed ---

# Moved after its installation.
prefix=$work/there
"$here/tools/install.sh" "$work/here" >"$work/log" 2>&1 && mv "$work/here" "$prefix"
if [ ! -f "$prefix/lib/libscrubjay.a" ]; then
	flunk "install" "$work/log"
	echo "$passed passed, $failed failed"
	exit 1
fi
pass "install"
start_redis || exit 1

check "exports of the shared library" exports -D "$prefix/lib/libscrubjay.so"
check "exports of the static library" exports -g "$prefix/lib/libscrubjay.a"
check "soname" named_so_0

warnings="-Wall -Wextra -Wpedantic -Werror"
include=$prefix/include
check "header in C99" gcc -std=c99 -pedantic-errors $warnings -I"$include" "$here/tests/header.c" -o "$work/header"
check "header in C99 runs" "$work/header"
check "header in C++11" g++ -std=c++11 -pedantic-errors $warnings -I"$include" "$here/tests/header.cc" -o "$work/header++" \
	"$prefix/lib/libscrubjay.a" -lpthread -ldl -lm
check "header in C++11 runs" "$work/header++"

check "README: pkg-config, shared" readme_cc 1 yes
check "README: pkg-config, static" readme_cc 2 no
check "README: CMake, shared" readme_cmake scrubjay yes
check "README: CMake, static" readme_cmake scrubjay_static no
check "README: snippets" readme_snippets
check "CMake: a version that fits" cmake_versions 0.1.0 yes
check "CMake: a newer version" cmake_versions 0.2 no
check "CMake: another major version" cmake_versions 1.0 no

# --- programs, against the shared library, and against the static one under AddressSanitizer ---

build() { # where, flags, libraries
	mkdir -p "$work/$1"
	local file status=0
	for file in "$here"/examples/*.c "$here"/tests/{errors,misuse,flight,tags,queue,overload,coherence,plain,observe,update,behind,through,slots,fork,exit,flat}.c; do
		# shellcheck disable=SC2086
		gcc -std=c11 -D_POSIX_C_SOURCE=200809L $warnings -g $2 -I"$include" "$file" -o "$work/$1/$(basename "$file" .c)" \
			$3 -lpthread || status=1
	done
	return $status
}

suite() { # where
	local name way
	for name in errors misuse flight tags queue overload coherence plain observe update behind through slots fork; do
		program "$1 $name" "$work/$1/$name"
	done
	# The sanitizer keeps every stack that it saw for good: with short ones that is little.
	program "$1 flat" env ASAN_OPTIONS="$ASAN_OPTIONS:malloc_context_size=1" "$work/$1/flat"
	# They end with open caches, whose entries lie where the leak detector does not look.
	for way in return exit shutdown atexit unused unreachable; do
		check "$1 exit by $way" env ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" timeout 20 "$work/$1/exit" "$way"
	done
	check "$1 example hello" says_hello "$work/$1/hello"
	check "$1 example hello, Redis" says_hello "$work/$1/hello" "$SCRUBJAY_TEST_REDIS"
	check "$1 example events" says_events "$work/$1/events"
	check "$1 example events, Redis" says_events "$work/$1/events" "$SCRUBJAY_TEST_REDIS"
}

# The library itself with AddressSanitizer in it, in a folder of its own: a compiler that is released can do that too,
# when it is told to.
instrumented=${CARGO_TARGET_DIR:-$here/../target}/instrumented
instrument() {
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$instrumented \
		cargo build --locked --manifest-path "$here/Cargo.toml" --target x86_64-unknown-linux-gnu
}

# What the tests measure is the library's memory, not the sanitizer's store of freed blocks.
export ASAN_OPTIONS=quarantine_size_mb=1:detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1
static="$prefix/lib/libscrubjay.a -lgcc_s -lm -ldl"
check "shared: build" build shared "" "-L$prefix/lib -Wl,-rpath,$prefix/lib -lscrubjay"
suite shared
check "sanitized: build" build sanitized "-fsanitize=address,undefined -fno-omit-frame-pointer" "$static"
suite sanitized
if [ "${SCRUBJAY_INSTRUMENT:-}" = 1 ]; then
	check "instrumented: library" instrument
	check "instrumented: build" build instrumented "-fsanitize=address -fno-omit-frame-pointer" \
		"$instrumented/x86_64-unknown-linux-gnu/debug/libscrubjay.a -lgcc_s -lm -ldl"
	suite instrumented
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
