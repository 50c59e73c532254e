#!/bin/bash
# image.sh OUT [APT-SOURCE-LINE]...   (as root)
#
# Builds what every lab boots from: OUT/vmlinuz, OUT/initrd.gz and OUT/root.ext4, a read-only Debian that is
# at once the root of the virtual machine and the lower layer of every node. One image for both, so that the
# pages (and QEMU's translated code) of systemd, libc and sshd exist once and not five times.
#
# Environment: SUITE, PACKAGES (comma separated), APTOPTS (one apt option per line, may be empty).
set -euo pipefail
out=$1; shift
here=$(cd "$(dirname "$0")" && pwd)
root=$out/root

opts=()
while IFS= read -r o; do [ -z "$o" ] || opts+=(--aptopt="$o"); done <<<"${APTOPTS:-}"

echo "== packages"
# No manuals: half of the files, and nobody reads them on a node. The last hook: without its file in the image's /tmp mmdebstrap's apt-get
# clean would empty the cache of this machine's own apt.
mmdebstrap --variant=minbase --architectures=amd64 --include="$PACKAGES" "${opts[@]}" \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-include=/usr/share/locale/de/LC_MESSAGES/sudo*' --dpkgopt='path-include=/usr/share/locale/locale.alias' \
  --setup-hook='mkdir -p "$1/usr/share/locale/de/LC_MESSAGES"' \
  --customize-hook="'$here/customize.sh' \"\$1\" '$out'" \
  --customize-hook='ls "$1"/tmp/mmdebstrap.apt.conf.* >/dev/null' \
  "$SUITE" "$root" "$@"

echo "== root.ext4"
mb=$(du -sm --apparent-size "$root" | cut -f1)
files=$(find "$root" | wc -l)
rm -f "$out/root.ext4"
truncate -s $((mb * 5 / 4 + 64))M "$out/root.ext4"
mkfs.ext4 -q -F -m 0 -b 4096 -N $((files * 5 / 4)) -O ^has_journal,^resize_inode -L rmlab-root -d "$root" "$out/root.ext4"
rm -rf --one-file-system "$root"
echo "== done"
