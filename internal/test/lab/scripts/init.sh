#!/bin/busybox sh
# First program of the virtual machine: mounts the image (read-only), the lab's disk and the shared folder,
# and goes on with boot.sh in an overlay of the image.
b=/bin/busybox
dead() { echo "lab: $1"; $b sleep 1; $b poweroff -f; }
$b mkdir -p /proc /dev /base /disk /root
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
say() { echo "lab: $($b cut -d' ' -f1 /proc/uptime) $1"; }
say "kernel up"
for m in $($b cat /modorder); do $b insmod /mod/$m || echo "lab: insmod $m failed"; done
$b mount -t ext4 -o ro,noatime /dev/vda /base || dead "no image on /dev/vda"
$b mount -t ext4 -o noatime /dev/vdb /disk || dead "no disk on /dev/vdb"
$b mkdir -p /disk/vm/up /disk/vm/work
$b mount -t overlay -o lowerdir=/base,upperdir=/disk/vm/up,workdir=/disk/vm/work overlay /root || dead "no overlay"
$b mount --move /base /root/lab/base
$b mount --move /disk /root/lab/disk
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none share /root/lab/share || dead "no shared folder"
say "disks mounted"
$b umount /dev
$b umount /proc
exec $b switch_root /root /bin/bash /lab/share/boot.sh
