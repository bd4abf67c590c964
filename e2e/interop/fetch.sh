#!/bin/bash
# fetch.sh java|python|node: fetches the libraries that the programs of a directory need, unless they are there,
# and prints what runs the programs:
#
#   java    the class path: the jars, and the programs, compiled
#   python  the interpreter of a virtual environment
#   node    a directory with the programs, and the packages in node_modules beside them: a program's imports are
#           looked for where the program is, and nowhere else
#
# Everything is in <cache>/virtcast, where <cache> is XDG_CACHE_HOME or ~/.cache, under names with a hash of what is
# wanted. Needs the network the first time only.
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/virtcast
mkdir -p "$cache"

# once NAME COMMAND...: runs a command with a new directory as its last argument, which becomes $cache/NAME if the command
# succeeds; does nothing if that is there already.
once() {
	local name=$1 part
	shift
	[[ ! -d $cache/$name ]] || return 0
	(
		flock 9 # another process may be at the same
		[[ ! -d $cache/$name ]] || exit 0
		part=$(mktemp -d "$cache/fetch.XXXXXX")
		trap 'rm -rf "$part"' EXIT
		"$@" "$part" >&2
		chmod 755 "$part"
		mv "$part" "$cache/$name"
	) 9>"$cache/$name.lock"
}

hash() { sha256sum | cut -c1-8; }

# retry COMMAND...: tries three times, since repositories do not always answer.
retry() {
	local try
	for try in 1 2 3; do
		"$@" && return 0
		echo "fetch: $1: attempt $try did not succeed" >&2
		sleep $((try * 3))
	done
	return 1
}

compile() { javac -Xlint:all,-classfile,-processing -Werror -proc:none -cp "$1/*" -d "$2" java/*.java; }

environment() {
	python3 -m venv "$1"
	retry "$1/bin/pip" install -q --disable-pip-version-check --no-input --only-binary :all: --no-deps -r python/requirements.txt
	"$1/bin/pip" check
}

modules() {
	cp node/package.json node/package-lock.json "$1"
	retry npm ci --silent --no-audit --no-fund --ignore-scripts --omit=dev --prefix "$1"
}

programs() {
	cp node/package.json node/*.js "$2"
	ln -s "$1/node_modules" "$2/node_modules"
}

case ${1:-} in
java)
	jars=java-$(hash <java/pom.xml)
	classes=classes-$(cat java/pom.xml java/*.java | hash)
	once "$jars" ../maven.sh java/pom.xml
	once "$classes" compile "$cache/$jars"
	echo "$cache/$jars/*:$cache/$classes"
	;;
python)
	name=python-$({ python3 --version && cat python/requirements.txt; } | hash)
	once "$name" environment
	echo "$cache/$name/bin/python"
	;;
node)
	packages=node-$(hash <node/package-lock.json)
	name=nodeprograms-$(cat node/package-lock.json node/*.js | hash)
	once "$packages" modules
	once "$name" programs "$cache/$packages"
	echo "$cache/$name"
	;;
*)
	echo "usage: fetch.sh java|python|node" >&2
	exit 2
	;;
esac
