#!/bin/bash
# boot.sh: the virtual machine's process 1. No systemd here, only in the nodes: it would double the boot.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
share=/lab/share
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm; mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts; mount -t tmpfs shm /dev/shm
for d in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
  [ -e "/dev/${d%%:*}" ] || ln -s "${d#*:}" "/dev/${d%%:*}"
done
mount -t tmpfs -o mode=755 run /run; mkdir -p /run/lock /run/sshd
mount -t cgroup2 cgroup2 /sys/fs/cgroup
hostname vm; ip link set lo up

# nothing loads drivers by itself here
modprobe -qa virtio_net virtio_rng
("$share/nodes.sh" serve; echo o > /proc/sysrq-trigger) &

# the machine's own sshd is how the lab command reaches nodes.sh
cp -r --preserve=mode "$share/trees/vm/." /; chown 0:0 / /root /root/.ssh /root/.ssh/* /etc/ssh/*
/usr/sbin/sshd
while :; do sleep 3600 & wait $!; done   # bash reaps what is orphaned
