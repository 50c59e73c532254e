#!/usr/bin/env bash
# vuln.sh: govulncheck, for vulnerabilities that are known today in what the code calls. Its database is vuln.go.dev; where that is not
# reached, the same reports come as the module golang.org/x/vulndb from the Go proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
db=https://vuln.go.dev
if ! curl -sfm 10 -o /dev/null $db/index/db.json; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  reports=$(cd "$work" && go mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  echo "vuln.go.dev is not reached: the database is made of ${reports##*/}"
  (cd "$work" && go run golang.org/x/vulndb/cmd/indexdb@latest -vulns "$reports/data/osv" -out "$work/db")
  db=file://$work/db
fi
go tool -modfile=tools/go.mod govulncheck -db "$db" "${@:-./...}"
