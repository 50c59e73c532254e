#!/usr/bin/env bash
# bootstrap.sh build|test|model: what the build, or the tests or the model as well, need on this machine. It says what is missing before
# it installs anything, and where all is there it says nothing.
#   Debian packages    by apt-get, as root or through sudo that asks for no password; elsewhere it names the command
#   Go                 the pinned toolchain from the Go module proxy, checked against a pinned SHA-256, into ~/.cache
#   Terraform          only where there is neither terraform nor tofu (internal/test/tfcli), into ~/.cache
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-build}

go_version=1.26.10   # what go.mod asks for
declare -A go_sha256=(
  [amd64]=f64ecb0807852be2c98899561c45288a9ad57f4e88f3cd002ffabeccbd03bfe1
  [arm64]=195f18be92553fb272b9c4f9fca6e67b6a04d8831bf6c4b918ac70982fadb444
)
cache=${RM_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/routingmesh-toolchain}

say() { echo "bootstrap: $*"; }
die() { echo "bootstrap: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# go.mod decides: a Go of 1.21 or newer may fetch the right one itself, and then this is true as well.
go_is_there() {
  local need found
  need=$(awk '$1 == "go" {print $2; exit}' go.mod)
  found=$(go env GOVERSION 2>/dev/null) || return 1
  found=${found#go}
  [ "$(printf '%s\n' "$need" "${found%% *}" | sort -V | head -n 1)" = "$need" ]
}

packages=()
need() { have "$1" || packages+=("$2"); }
need git git
need gzip gzip
if ! go_is_there; then
  need curl curl
  need unzip unzip
  [ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
fi
if [ "$level" = test ]; then   # go test -race needs a C compiler
  need gcc gcc
  have gcc && [ ! -e /usr/include/stdlib.h ] && [ -e /etc/debian_version ] && packages+=(libc6-dev)
  need ssh openssh-client
  need systemd-analyze systemd   # what systemd says of the agent's unit
  have gcc || packages+=(libc6-dev)
fi

if [ "$level" = model ]; then
  need spin spin
  need gcc gcc
  have gcc || packages+=(libc6-dev)
fi

if [ ${#packages[@]} -gt 0 ]; then
  command="apt-get install -y --no-install-recommends ${packages[*]}"
  have apt-get || die "missing: ${packages[*]} (the names are Debian's); install them and run make again"
  root=()
  if [ "$(id -u)" != 0 ]; then
    have sudo && sudo -n true 2>/dev/null || die "missing: ${packages[*]}. As root: $command"
    root=(sudo -n)
  fi
  say "installing the Debian packages ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # the command is meant to be split
  "${root[@]}" apt-get update -qq && "${root[@]}" $command -qq -o Dpkg::Use-Pty=0 >/dev/null ||
    die "apt-get could not install ${packages[*]}; try: $command"
fi

fetch_go() {
  local os arch proxy base sum dir=$cache/go$go_version
  os=$(uname -s) arch=$(uname -m)
  case $arch in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; esac
  [ "$os" = Linux ] && [ -n "${go_sha256[$arch]:-}" ] ||
    die "Go $go_version or newer is needed and not on PATH; for $os/$arch install it from https://go.dev/dl/"
  base=golang.org/toolchain@v0.0.1-go$go_version.linux-$arch
  say "fetching Go $go_version (70 MB) into $cache"
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/tmp.XXXXXX")
  trap 'chmod -R u+w "$tmp" 2>/dev/null; rm -rf "$tmp"' EXIT
  for proxy in $(tr ',|' '  ' <<<"${GOPROXY:-}") https://proxy.golang.org; do
    case $proxy in https://*|http://*|file://*) ;; *) continue ;; esac
    curl -fsSL --retry 3 -o "$tmp/go.zip" "${proxy%/}/golang.org/toolchain/@v/${base#*@}.zip" && break
  done
  [ -s "$tmp/go.zip" ] || die "no Go toolchain: the module proxy cannot be reached (GOPROXY=${GOPROXY:-https://proxy.golang.org})"
  sum=$(sha256sum "$tmp/go.zip" | cut -d' ' -f1)
  [ "$sum" = "${go_sha256[$arch]}" ] || die "what the proxy sent as ${base#*@}.zip has SHA-256 $sum, expected ${go_sha256[$arch]}"
  unzip -q "$tmp/go.zip" -d "$tmp"
  chmod -R u+w "$tmp/$base"
  chmod +x "$tmp/$base"/bin/* "$tmp/$base"/pkg/tool/*/*   # a module zip has no file modes
  rm -rf "$dir"
  mv "$tmp/$base" "$dir"
  ln -sfn "$dir" "$cache/go"
}
if ! go_is_there; then
  fetch_go
  export PATH="$cache/go/bin:$PATH"
  go_is_there || die "the Go in $cache/go does not run: $(go version 2>&1)"
fi

if [ "$level" = test ] && ! have terraform && ! have tofu && [ ! -x "$cache/bin/terraform" ] && [ ! -x "$cache/bin/tofu" ]; then
  say "neither terraform nor tofu is on PATH; fetching one into $cache/bin"
  go run ./internal/test/tfcli/ensure "$cache/bin"
fi
