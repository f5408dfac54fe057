#!/usr/bin/env bash
# Installs each package of dist/ as its user would, away from this repository, and runs a program with it.
set -euo pipefail
cd "$(dirname "$0")"

dist=$(cd ../../dist && pwd)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
passed=0
failed=0
expected='fetched Ada
cached Ada'

check() { # name, command…
	local name=$1 output
	shift
	if output=$("$@" 2>"$home/stderr") && [ "$output" = "$expected" ]; then
		echo "dist: $name works"
		passed=$((passed + 1))
	else
		echo "dist: $name FAILED: $output"
		cat "$home/stderr"
		failed=$((failed + 1))
	fi
}

wheel() {
	python3 -m venv "$home/venv"
	"$home/venv/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps "$dist"/scrubjay-*.whl
	cd "$home" && "$home/venv/bin/python" - <<'PROGRAM'
from scrubjay import CacheService

with CacheService("memory://", "dist") as cache:
    for word in ("fetched", "cached"):
        ran = []
        name = cache.get_or_fetch("user:7", 60, lambda: ran.append(1) or "Ada")
        assert bool(ran) == (word == "fetched")
        print(word, name)
PROGRAM
}

npm_package() {
	mkdir "$home/node" && cd "$home/node"
	echo '{"name":"outside","private":true,"type":"module"}' >package.json
	npm install --silent --no-audit --no-fund --offline "$dist"/scrubjay-*.tgz
	cat >main.js <<'PROGRAM'
import { CacheService } from 'scrubjay'
const cache = new CacheService('memory://', 'dist')
for (const word of ['fetched', 'cached']) {
  let ran = false
  const name = await cache.getOrFetch('user:7', 60, async () => { ran = true; return 'Ada' })
  if (ran !== (word === 'fetched')) throw new Error(word)
  console.log(word, name)
}
PROGRAM
	node main.js
}

c_library() {
	mkdir "$home/c" && cd "$home/c"
	tar xzf "$dist"/scrubjay-c-*.tar.gz --strip-components=1
	cat >main.c <<'PROGRAM'
#include <scrubjay.h>
#include <stdio.h>

static int32_t load(void *ran, sj_fetch *fetch) {
  *(int *)ran = 1;
  return sj_fetch_value(fetch, sj_text("\"Ada\""), SJ_JSON);
}

int main(void) {
  sj_cache *cache;
  if (sj_open(sj_text("{\"prefix\": \"dist\"}"), &cache, NULL) != SJ_OK) return 1;
  for (int round = 0; round < 2; round++) {
    int ran = 0;
    sj_buf value;
    if (sj_get_or_fetch(cache, sj_text("user:7"), NULL, load, &ran, &value, NULL, NULL) < 0) return 1;
    if (ran != (round == 0)) return 1;
    printf("%s %.*s\n", ran ? "fetched" : "cached", (int)value.len - 2, (const char *)value.ptr + 1);
    sj_buf_free(&value);
  }
  sj_close(cache, NULL, NULL);
  sj_cache_free(cache);
  return 0;
}
PROGRAM
	# shellcheck disable=SC2046 # these are words
	gcc -Wall -Werror main.c -o main $(PKG_CONFIG_PATH=$PWD/lib/pkgconfig pkg-config --cflags --libs scrubjay) \
		-Wl,-rpath,"$PWD/lib"
	./main
}

go_module() {
	mkdir "$home/go" "$home/scrubjay-go" && cd "$home/go"
	tar xzf "$dist"/scrubjay-go-*.tar.gz -C "$home/scrubjay-go" --strip-components=1
	cat >go.mod <<'PROGRAM'
module example.com/outside

go 1.24

require scrubjay v0.0.0

replace scrubjay => ../scrubjay-go
PROGRAM
	cat >main.go <<'PROGRAM'
package main

import (
	"context"
	"fmt"
	"time"

	"scrubjay"
)

func main() {
	cache := scrubjay.NewCacheService("", "dist")
	defer cache.Close()
	for _, word := range []string{"fetched", "cached"} {
		ran := false
		name, err := scrubjay.GetOrFetchFunc(context.Background(), cache, "user:7", time.Minute, func() (string, error) {
			ran = true
			return "Ada", nil
		})
		if err != nil || ran != (word == "fetched") {
			panic(err)
		}
		fmt.Println(word, name)
	}
}
PROGRAM
	env -u CGO_LDFLAGS -u CGO_CFLAGS -u LD_LIBRARY_PATH go build -o main .
	./main
}

crate() {
	mkdir "$home/rust" "$home/rust/src" "$home/crate" && cd "$home/rust"
	tar xzf "$dist"/scrubjay-*.crate -C "$home/crate" --strip-components=1
	cat >Cargo.toml <<'PROGRAM'
[package]
name = "outside"
version = "0.0.0"
edition = "2024"

[dependencies]
scrubjay = { path = "../crate" }
tokio = { version = "1", features = ["rt", "macros"] }

[workspace]
PROGRAM
	cat >src/main.rs <<'PROGRAM'
use scrubjay::CacheService;

#[tokio::main(flavor = "current_thread")]
async fn main() -> scrubjay::Result<()> {
    let cache = CacheService::new("memory://", "dist")?;
    for word in ["fetched", "cached"] {
        let ran = std::cell::Cell::new(false);
        let fetch = || async {
            ran.set(true);
            Ok::<_, std::io::Error>("Ada".to_owned())
        };
        let name: String = cache.get_or_fetch("user:7", 60, fetch).await?;
        assert_eq!(ran.get(), word == "fetched");
        println!("{word} {name}");
    }
    Ok(())
}
PROGRAM
	cargo run --quiet
}

check "the wheel" wheel
check "the npm package" npm_package
check "the C library" c_library
check "the Go module" go_module
check "the crate" crate
echo "dist: $passed passed, $failed failed"
[ "$failed" = 0 ]
