#!/bin/bash
# maven.sh POM DIRECTORY: copies the jars that a pom.xml needs at run time into a directory. Tries three times, since
# repositories do not always answer. Writes to standard error only.
set -euo pipefail
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
	# -U asks again for what an earlier try did not find.
	if mvn -q -B -U -f "$1" "$plugin:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$2" >"$log" 2>&1; then
		exit 0
	fi
	echo "maven: $1: attempt $try did not succeed" >&2
	sleep $((try * 3))
done
cat "$log" >&2
exit 1
