#!/usr/bin/env bash
# notes.sh VERSION: the section of CHANGELOG.md, as the text of the release on GitHub. Without one there is no release.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?usage: notes.sh VERSION}
notes=$(awk -v title="## [$version]" 'index($0, title) == 1 {on = 1; next} /^## \[/ {on = 0} on' CHANGELOG.md)
if [ -z "${notes//[[:space:]]/}" ]; then
  echo "CHANGELOG.md has no section ## [$version]: what does the release bring?" >&2
  exit 1
fi
printf '%s\n' "$notes"
