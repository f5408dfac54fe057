#!/usr/bin/env bash
# A Postgres of its own, in the foreground, without a password, until it gets SIGINT.
#
#   postgres.sh FOLDER PORT [setting=value…]     FOLDER is made, and the caller's to remove
#
# Postgres refuses to run as root: then it runs as the user `postgres`, which its package has made.
set -euo pipefail
folder=$1 port=$2
shift 2
bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1 || true)")
[ "$bin" != . ] || bin=$(dirname "$(command -v initdb)")
as=()
mkdir -p "$folder"
if [ "$(id -u)" = 0 ]; then
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	chown postgres "$folder"
	# Its parents may be for root alone.
	parent=$folder
	while [ "$parent" != / ]; do
		parent=$(dirname "$parent")
		[ "$parent" = / ] || [ "$parent" = /tmp ] || chmod o+x "$parent" 2>/dev/null || true
	done
fi
cd /
"${as[@]}" env LC_ALL=C "$bin/initdb" -D "$folder/data" -U postgres --auth=trust --encoding=UTF8 --no-sync >/dev/null
settings=(-c fsync=off -c listen_addresses=127.0.0.1 -c max_connections=200)
for setting in "$@"; do
	settings+=(-c "$setting")
done
exec "${as[@]}" env LC_ALL=C "$bin/postgres" -D "$folder/data" -p "$port" -k "$folder" "${settings[@]}" >"$folder/log" 2>&1
