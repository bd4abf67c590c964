#!/bin/bash
# Fetches the jars of the Apache Kafka that pom.xml names, unless they are there, and prints the directory
# they are in: <cache>/virtcast/kafka-<version>-<hash of pom.xml>, where <cache> is XDG_CACHE_HOME or
# ~/.cache. Needs java (17 or later) and mvn, and the network the first time only.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/virtcast
jars=$cache/kafka-$version-$(sha256sum <"$here/pom.xml" | cut -c1-8)
if [[ ! -d $jars ]]; then
	mkdir -p "$cache"
	exec 9>"$jars.lock"
	flock 9 # another fetch of the same may be under way
	if [[ ! -d $jars ]]; then
		part=$(mktemp -d "$cache/fetch.XXXXXX")
		trap 'rm -rf "$part"' EXIT
		"$here/../maven.sh" "$here/pom.xml" "$part"
		chmod 755 "$part"
		mv "$part" "$jars" # whole, or not at all
	fi
fi
echo "$jars"
