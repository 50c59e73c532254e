#!/bin/bash
# customize.sh ROOT OUT: mmdebstrap's customize hook. Kernel, modules, initrd, and what makes the tree a node.
set -euo pipefail
root=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
in_root() { LC_ALL=C chroot "$root" "$@"; }

# The kernel comes as a bare archive, not as an installed package: installing it would build an initramfs
# for hardware that does not exist, which takes longer than everything else here.
kernel() {
  local pkg
  pkg=$(in_root apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*-amd64\).*/\1/p' | head -1)
  [ -n "$pkg" ] || { echo "apt knows no kernel package for linux-image-amd64" >&2; exit 1; }
  echo "== kernel $pkg"
  mkdir -p "$root/tmp/k"
  in_root sh -c "cd /tmp/k && apt-get -qq -o APT::Sandbox::User=root download $pkg busybox-static"
  in_root sh -c 'cd /tmp/k && for d in *.deb; do dpkg-deb -x "$d" .; done'
  kver=$(ls "$root/tmp/k/lib/modules")
  cp "$root/tmp/k/boot/vmlinuz-$kver" "$out/vmlinuz"
}

# Only what a virtual machine without hardware can use: a tenth of the size, and depmod is quick.
modules() {
  local from=$root/tmp/k/lib/modules/$kver to=$root/lib/modules/$kver d
  mkdir -p "$to"
  cp "$from"/modules.{order,builtin,builtin.modinfo} "$to"/
  for d in net crypto lib arch/x86/crypto fs/{ext4,jbd2,overlayfs,9p,netfs,fscache,fuse,nfs_common} fs/mbcache.ko \
    drivers/{virtio,net,block,char/hw_random,md,vhost}; do
    [ -e "$from/kernel/$d" ] || continue
    mkdir -p "$to/kernel/$(dirname "$d")"
    cp -r "$from/kernel/$d" "$to/kernel/$d"
  done
  (cd "$to/kernel" && rm -rf net/{wireless,mac80211,bluetooth,nfc,ieee802154,mac802154,6lowpan,can,rds,tipc,sunrpc,rxrpc,atm,ax25,netrom,rose,lapb,x25,appletalk,batman-adv,smc,ceph,nsh} \
    drivers/net/{ethernet,wireless,can,phy,usb,wwan,arcnet,fddi,hamradio,ieee802154,plip,slip,pcs,mdio,hippi,fjes,vmxnet3,thunderbolt*,dsa,ppp,wan,xen*,hyperv})
  in_root depmod "$kver"
}

initrd() {
  local ir=$root/tmp/ir m f
  mkdir -p "$ir"/{bin,mod}
  cp "$root/tmp/k/bin/busybox" "$ir/bin/"
  cp "$here/init.sh" "$ir/init"; chmod 755 "$ir/init"
  for m in virtio_pci virtio_blk ext4 crc32c_generic 9p 9pnet_virtio overlay; do
    in_root modprobe -S "$kver" --show-depends "$m" | awk '$1 == "insmod" {print $2}'
  done | awk '!seen[$0]++' > "$ir/files"
  while read -r f; do cp "$root$f" "$ir/mod/"; echo "${f##*/}"; done < "$ir/files" > "$ir/modorder"
  rm "$ir/files"
  in_root sh -c 'cd /tmp/ir && find . | ./bin/busybox cpio -o -H newc | gzip -1' > "$out/initrd.gz"
}

# A plain server: sshd and networkd run, nothing else does until somebody starts it. Timers of a packager's
# taste (apt, e2scrub, dpkg backups) would only disturb measurements, and what is masked has nothing to do in a
# container, but costs seconds of an emulated boot.
services() {
  local etc=$root/etc/systemd/system u off=()
  for u in "$etc"/multi-user.target.wants/* "$root"/etc/rc[2-5].d/S*; do
    u=${u##*/}
    case $u in *ssh* | *dbus* | *sudo* | remote-fs.target) ;; S[0-9][0-9]*) off+=("${u#S??}.service") ;; *) off+=("$u") ;; esac
  done
  mapfile -t off < <(printf '%s\n' "${off[@]}" | sort -u)
  echo "off at boot: ${off[*]}"
  # disabled as an administrator would: with the links of /etc/rc?.d removed, update-rc.d refuses to enable what has an init script, too
  SYSTEMD_OFFLINE=1 in_root systemctl disable "${off[@]}"
  rm -rf "$etc"/timers.target.wants "$etc"/getty.target.wants
  mkdir -p "$etc/multi-user.target.wants"
  for u in systemd-networkd-wait-online systemd-update-utmp systemd-update-utmp-runlevel systemd-pcrphase systemd-pcrphase-sysinit \
    systemd-remount-fs systemd-sysusers systemd-machine-id-commit kmod-static-nodes modprobe@ e2scrub_reap console-getty getty-static; do
    ln -sf /dev/null "$etc/$u.service"
  done
  for u in dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount; do
    ln -sf /dev/null "$etc/$u"
  done
  # every daemon-reload, of which each join and leave has one, runs all of these; a container has nothing for them to find
  mkdir -p "$root/etc/systemd/system-generators"
  for u in cryptsetup debug getty gpt-auto hibernate-resume integritysetup rc-local run system-update veritysetup; do
    ln -sf /dev/null "$root/etc/systemd/system-generators/systemd-$u-generator"
  done
  # compiling the system call filters of these takes longer than starting them; other units keep theirs
  for u in systemd-journald systemd-logind systemd-networkd; do
    mkdir -p "$etc/$u.service.d"
    printf '[Service]\nSystemCallFilter=\nSystemCallArchitectures=\nRestrictAddressFamilies=\nMemoryDenyWriteExecute=no\n' > "$etc/$u.service.d/lab.conf"
  done
  ln -sf /lib/systemd/system/systemd-networkd.service "$etc/multi-user.target.wants/"
  ln -sf /lib/systemd/system/multi-user.target "$etc/default.target"
}

# The engines run when a test starts them. Podman's usual storage does not work on an overlay, which a node's disk is.
engines() {
  rm -f "$root"/etc/systemd/system/sockets.target.wants/{docker,podman}.socket "$root"/etc/systemd/system/default.target.wants/podman*
  mkdir -p "$root/etc/containers"
  printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' > "$root/etc/containers/storage.conf"
}

# A login does not start a manager of units for its user, nor the programs that write the message of the day: on an
# emulated host that takes longer than all else of a login.
logins() {
  sed -i '/pam_systemd\.so/d' "$root/etc/pam.d/common-session"
  sed -i '/pam_motd\.so/d' "$root/etc/pam.d/sshd"
}

users() {
  in_root useradd -m -s /bin/bash ops
  echo 'ops ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/ops"; chmod 440 "$root/etc/sudoers.d/ops"
  echo 'PasswordAuthentication no' > "$root/etc/ssh/sshd_config.d/lab.conf"
}

# A host may speak another language than ours: LANG=de_DE.UTF-8 in /etc/default/locale.
language() { in_root localedef -i de_DE -f UTF-8 de_DE.UTF-8; }

clean() {
  rm -rf "$root"/tmp/k "$root"/tmp/ir "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/etc/ssh/ssh_host_*
  : > "$root/etc/resolv.conf"
  rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id"; : > "$root/etc/machine-id"
  mkdir -p "$root"/lab/{base,disk,share}
}

kernel; modules; initrd; services; engines; logins; users; language; clean
