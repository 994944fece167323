#!/bin/sh
# Prints the path of an nginx for tests/project/test_compose.py; installs Debian's where there is none and it may.
# Without one it fails where CI is set, and otherwise leaves those tests to be skipped.

find_nginx() {
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx
}

find_nginx && exit 0

if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="none"; fi
    if [ "$as_root" != none ]; then
        log=$(mktemp)
        { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx; } >"$log" 2>&1 || tail -n 3 "$log" >&2
        rm -f "$log"
        find_nginx && exit 0
    fi
fi

echo "No nginx found: install it (on Debian: apt-get install nginx)." >&2
[ -z "${CI:-}" ]
