#!/usr/bin/env bash
# Installs the executable, the headers and the Python package into a scratch folder and uses them.
source "$(dirname "${BASH_SOURCE[0]}")/../../script/lib.sh"

build_release
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

DESTDIR=$place/system meson install -C build/release --no-rebuild --quiet
farhand=$(find "$place/system" -type f -name farhand -perm -u+x)
[ -n "$farhand" ] || die "meson install installed no farhand"
version=$("$farhand" --version)
"$farhand" --help | grep -q serve || die "farhand --help does not name serve"
find "$place/system" -name version.h | grep -q . || die "meson install installed no headers"

# From a copy: building a wheel leaves files beside the sources.
cp -r python "$place/python"
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check "$place/python"
cd "$place"
unset PYTHONPATH
venv/bin/python -c 'from farhand import Client, Executor; import farhand; print(farhand.__file__)'
echo "installed and used: $version"
