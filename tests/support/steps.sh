#!/usr/bin/env bash
# Runs `make test-NAME` for each name, all of them even when one fails, and ends with the closing lines of their
# runners and how long each took.
set -uo pipefail
cd "$(dirname "$0")/../.."

logs=target/test-logs
rm -rf "$logs"
mkdir -p "$logs"
closing='^(test result:|ok  |FAIL|--- FAIL|[0-9]+ (passed|failed)|. (tests|pass|fail) [0-9]+|# (tests|pass|fail) [0-9]+|conformance: |interop: |docs: |dist: )'
failed=()
summary=()
for step in "$@"; do
	echo "=== $step"
	begun=$SECONDS
	make "test-$step" 2>&1 | tee "$logs/$step.log"
	status=${PIPESTATUS[0]}
	took=$((SECONDS - begun))
	verdict=passed
	if [ "$status" != 0 ]; then
		verdict=FAILED
		failed+=("$step")
	fi
	summary+=("$(printf '%-12s %-7s %5d s' "$step" "$verdict" "$took")")
	echo "=== $step $verdict after $took s"
done

echo
echo "=== times"
printf '%s\n' "${summary[@]}"
echo
echo "=== closing lines"
for step in "$@"; do
	grep -E "$closing" "$logs/$step.log" | sed "s/^/$step: /"
done
echo "$(($# - ${#failed[@]})) passed, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
[ ${#failed[@]} = 0 ]
