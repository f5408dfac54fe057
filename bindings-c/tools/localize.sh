#!/bin/sh
# Makes a static library of which only the names sj_* can be seen: localize.sh FROM.a TO.a
# Otherwise every name of Rust's own library would meet those of another Rust library in the same program.
set -eu

from=$(realpath "$1")
to=$(realpath -m "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One object of all members that the calls need: sections that nothing needs are left out here, because the linker of
# the user no longer can.
header=$(dirname "$0")/../include/scrubjay.h
grep -o '\bsj_[a-z_]*(' "$header" | tr -d '(' | grep -v '^sj_text$' | sort -u | sed 's/^/-u /' >"$work/roots"
ld -r --gc-sections -e sj_open @"$work/roots" -o "$work/scrubjay.o" "$from"
# The bitcode that Rust's own library carries is of no use here, and older tools stumble over it.
objcopy --remove-section .llvmbc --remove-section .llvmcmd --wildcard --keep-global-symbol='sj_*' "$work/scrubjay.o"
rm -f "$to.new"
ar rcsD "$to.new" "$work/scrubjay.o"
mv "$to.new" "$to"
