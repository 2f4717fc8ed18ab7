#!/usr/bin/env bash
# Builds the packages from a clean copy of what git tracks, so that nothing lying about gets into them, into dist/.
set -euo pipefail
top=$(git rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -C "$top" ls-files -z | tar -C "$top" --null -T - -cf - | (mkdir "$work/wattd" && tar -C "$work/wattd" -xf -)
(cd "$work/wattd" && dpkg-buildpackage -b -us -uc > "$work/build.log" 2>&1) || { tail -40 "$work/build.log"; exit 1; }
lintian --allow-root --fail-on error --suppress-tags bad-distribution-in-changes-file "$work"/*.changes
mkdir -p "$top/dist" && rm -f "$top"/dist/*
cp "$work"/wattd*.deb "$work"/wattsim*.deb "$top/dist/"
ls -l "$top"/dist
