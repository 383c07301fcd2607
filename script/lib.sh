# Shared by the scripts: folders, messages, Python environments and Meson builds.
# Sourced, never run. All builds live under build/, one folder each.
set -euo pipefail

CALLER_DIR=$PWD
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

say() { printf '%s\n' "$*" >&2; }

die() {
	say "${0##*/}: $*"
	exit 1
}

# python_venv FOLDER REQUIREMENTS... : an environment with these packages; does nothing when it has
# them already. The stamp is a hash of the interpreter and of what is required. An argument that is
# a folder is a package of ours, installed from it, and its sources are part of the hash.
python_venv() {
	local folder=$1 hash arg args=()
	shift
	hash=$( {
		"${PYTHON:-python3}" -c 'import sys; print(sys.executable, sys.version)'
		for arg; do
			if [ -d "$arg" ]; then
				find "$arg" -path '*/tests' -prune -o \( -name '*.py' -o -name '*.toml' \) -print |
					sort | xargs cat
			else
				cat "$arg"
			fi
		done
	} | sha256sum | cut -d' ' -f1)
	if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$hash" ]; then
		return
	fi
	say "Python environment $folder: installing $*"
	[ -x "$folder/bin/pip" ] && "$folder/bin/python" -c '' 2>/dev/null ||
		"${PYTHON:-python3}" -m venv --clear "$folder"
	for arg; do
		if [ -d "$arg" ]; then args+=("./$arg"); else args+=(-r "$arg"); fi
	done
	"$folder/bin/pip" install --quiet --disable-pip-version-check "${args[@]}"
	printf '%s\n' "$hash" >"$folder/.stamp"
}

# Lines are all that a report needs to name, and variables take a third of the compiler's time.
lines_only=-Dc_args=-g1
# Of build/debug, which several scripts use. Planted bugs sleep until farhand-sim wakes one.
debug_options=(--buildtype=debugoptimized "$lines_only" -Dplants=true)

# with_lock NAME COMMAND... : runs it while nobody else works in build/NAME.
with_lock() {
	local name=$1
	shift
	mkdir -p build
	{
		flock 8
		"$@"
	} 8>"build/$name.lock"
}

# meson_configure NAME OPTIONS... : the build folder build/NAME with exactly these options.
meson_configure() { with_lock "$1" meson_configure_alone "$@"; }

meson_configure_alone() {
	local folder=build/$1
	shift
	if [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/.options" 2>/dev/null)" = "${CC:-} $*" ]; then
		return
	fi
	local wipe=()
	[ ! -f "$folder/build.ninja" ] || wipe=(--wipe)
	if ! meson setup ${wipe[@]+"${wipe[@]}"} "$folder" "$@" >"$folder.log" 2>&1; then
		cat "$folder.log" >&2
		die "cannot configure $folder"
	fi
	printf '%s\n' "${CC:-} $*" >"$folder/.options"
	rm -f "$folder.log"
}

# ninja_build NAME TARGETS... : silent when all is well, the compiler's words when not.
ninja_build() { with_lock "$1" ninja_build_alone "$@"; }

ninja_build_alone() {
	local folder=build/$1 log
	shift
	log=$folder/build.log
	if ! ninja -C "$folder" "$@" >"$log" 2>&1; then
		if grep -q '^FAILED' "$log"; then
			sed -n '/^FAILED/,$p' "$log" | grep -vE '^\[[0-9]+/[0-9]+\]' >&2
		else
			cat "$log" >&2
		fi
		die "the build in $folder failed"
	fi
}

# The product as users run it: build/release, and a link to it at build/farhand.
build_release() {
	meson_configure release -Dtests=false
	ninja_build release
	with_lock release ln -sfn release/src/app/farhand build/farhand
}

# side_by_side COUNT FUNCTION ITEM... : calls FUNCTION ITEM for each, at most COUNT at once.
# What it finds it writes down itself: its status is not looked at.
side_by_side() {
	local count=$1 function=$2 item
	shift 2
	for item; do
		while [ "$(jobs -rp | wc -l)" -ge "$count" ]; do
			wait -n || true
		done
		"$function" "$item" &
	done
	wait
}
