#!/usr/bin/env bash
# Builds the packages from a clean copy of what git tracks, so that nothing lying about gets into them, into dist/.
set -euo pipefail
top=$(git rev-parse --show-toplevel)
work=$top/build/deb  # always the same, so that ccache knows it again
rm -rf "$work" && mkdir -p "$work/wattd"
git -C "$top" ls-files -z | tar -C "$top" --null -T - -cf - | tar -C "$work/wattd" -xf -
(cd "$work/wattd" && dpkg-buildpackage -b -us -uc > "$work/build.log" 2>&1) || { tail -40 "$work/build.log"; exit 1; }
lintian --allow-root --fail-on error --suppress-tags bad-distribution-in-changes-file "$work"/*.changes
mkdir -p "$top/dist" && rm -f "$top"/dist/*
cp "$work"/watt*.deb "$top/dist/"
ls -l "$top"/dist
