#!/usr/bin/env bash
# Checks the systemd units with `systemd-analyze verify`. It wants the programs and the base units that a unit names to
# be there, so the units are looked at in a scratch root: with this system's base units and with stand-ins for the
# programs, which are on a worker's host only. Whatever it says, a warning as well, is a failure.
set -euo pipefail

units=$(cd "$(dirname "${BASH_SOURCE[0]}")/../deploy/host/units" && pwd)
units=${1:-$units}
if ! command -v systemd-analyze >/dev/null; then
    echo "systemd-analyze is missing; it is in the package systemd" >&2
    exit 2
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/{etc/systemd,usr/lib/systemd}
cp -r "$units" "$root/etc/systemd/system"
cp -r /lib/systemd/system "$root/usr/lib/systemd/system"
grep --no-filename --only-matching --perl-regexp '^Exec\w+=[-+!@:]*\K/\S+' "$units"/* | sort -u | while read -r program; do
    install -D -m 755 /dev/null "$root$program"
done

cd "$units"
said=$(systemd-analyze verify --man=no --recursive-errors=one --root="$root" -- * 2>&1) || true
if [[ -n $said ]]; then
    echo "$said" >&2
    exit 1
fi
