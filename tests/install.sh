#!/bin/sh
# bash tests/install.sh chromium|nginx
#
# Prints the path of a Chromium (for tests/browser) or an nginx (for tests/project/test_compose.py); installs Debian's
# where there is none and it may. Without one it fails where CI is set, and otherwise leaves those tests to be skipped.

package=$1
case $package in
    chromium)
        set -- "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable
        cure=" or name one in the variable CHROMIUM" ;;
    nginx) set -- nginx; cure="" ;;
    *) echo "usage: bash tests/install.sh chromium|nginx" >&2; exit 2 ;;
esac

find_one() {
    for name in "$@"; do
        [ -n "$name" ] && PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$name" && return 0
    done
    return 1
}

find_one "$@" && exit 0

if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="none"; fi
    if [ "$as_root" != none ]; then
        log=$(mktemp)
        { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } >"$log" 2>&1 || tail -n 3 "$log" >&2
        rm -f "$log"
        find_one "$@" && exit 0
    fi
fi

echo "No $package found: install it (on Debian: apt-get install $package)$cure." >&2
[ -z "${CI:-}" ]
