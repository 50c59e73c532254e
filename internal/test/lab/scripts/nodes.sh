#!/bin/bash
# nodes.sh COMMAND [NODE]: the wire and the nodes on it. Runs as root where the nodes run: in the virtual
# machine, or (driver native) in a mount and network namespace of its own on this machine.
#
#   serve                 make the wire, start every node, stay
#   on NODE               power on                off NODE     power cut: no shutdown, the disk stays
#   wire-down NODE        frames are lost, the link stays up (a dead switch port)     wire-up NODE
#   all-on                every node has power and wire
#   status                a line per node
#
# Beside it lie: env (BASE, DISK, MODULES, UPLINK, WIRE_ADDRESS, CGROUP, CONSOLE), nodes (NAME ADDRESS MAC per line),
# trees/NAME (the files that make a node this node), setup/NAME (what is done in its tree before it first boots,
# of LAB_IMAGE), and log/. It starts few programs, because emulation makes each one dear while the nodes boot.
set -u
share=$(cd "$(dirname "$0")" && pwd)
. "$share/env"
state=/run/rmlab
say() { local up; read -r up _ < /proc/uptime; echo "lab: $up $*"; }
read_node() { while read -r name address mac; do [ "$name" != "$1" ] || return 0; done < "$share/nodes"; return 1; }

# Everything an agent may ask for is loaded before the nodes start, as on a host where Docker once ran; a node
# could load modules itself, but must not have to.
load_modules() {
  modprobe -qab veth bridge br_netfilter vxlan overlay dummy tun wireguard macvlan ipvlan \
    ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sh ip_vs_mh ip_vs_sed ip_vs_nq ip_vs_dh xt_ipvs \
    nf_conntrack nf_conntrack_netlink nf_nat nft_compat nft_chain_nat nft_ct nft_masq nft_nat nft_fib_inet nft_log nft_limit nft_reject_inet \
    iptable_filter iptable_nat iptable_mangle iptable_raw ip6table_filter ip6table_nat ip6table_mangle ip6table_raw \
    ip_set ip_set_bitmap_port ip_set_bitmap_ip ip_set_hash_ip ip_set_hash_net ip_set_hash_ipport ip_set_hash_netport ip_set_list_set xt_set \
    xt_addrtype xt_mark xt_connmark xt_conntrack xt_comment xt_tcpudp xt_multiport xt_mac xt_nat xt_MASQUERADE xt_CT xt_REDIRECT xt_TCPMSS \
    xt_TRACE xt_LOG xt_limit xt_statistic xt_state xt_physdev xt_CHECKSUM ipt_REJECT nfnetlink_log sch_netem sch_tbf || say "some modules did not load"
}

# The wire is a wire: no netfilter on it, although br_netfilter is loaded (Docker loads it on real hosts).
wire() {
  ip link add lab0 type bridge && ip link set lab0 mtu 1500 up || return 1
  sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0 2>/dev/null
  ip addr add "$WIRE_ADDRESS/24" dev lab0
  [ -z "$UPLINK" ] || { ip link set "$UPLINK" master lab0 && ip link set "$UPLINK" up; }
}

mount_node() { mount -t overlay -o "lowerdir=$BASE,upperdir=$DISK/$1/up,workdir=$DISK/$1/work" overlay "$DISK/$1/root"; }

# A network namespace of its own: what lists rules must not see the machine's.
set_up() { SYSTEMD_OFFLINE=1 unshare -n chroot "$DISK/$1/root" sh -c "$(< "$share/setup/$1")" || say "the setup of $1 failed" >> "$CONSOLE"; }

# First start of a node: what makes it this node and no other is written to its disk, and stays there.
make_node() {
  local n=$1 d=$DISK/$1
  [ ! -e "$d/made" ] || return 0
  mkdir -p "$d"/{work,root,docker,containerd}
  cp -r --preserve=mode "$share/trees/$n" "$d/up"
  chown -R 0:0 "$d/up"; chown -R 1000:1000 "$d/up/home/ops"
  [ ! -e "$share/setup/$n" ] || { mount_node "$n" && set_up "$n"; umount "$d/root"; }
  : > "$d/made"
}

# A network namespace inherits its IPv4 settings from the machine's first one, whoever makes it; a fresh host
# forwards nothing.
plug_in() {
  local n=$1 name address mac
  read_node "$n"
  ip netns add "$n" && ip link add "v$n" type veth peer name eth0 address "$mac" netns "$n" || return 1
  ip link set "v$n" master lab0 up
  ip netns exec "$n" sysctl -qw net.ipv4.ip_forward=0
}

boot() {  # until the node powers off or reboots; its exit code says which
  local n=$1 d=$DISK/$1 binds=()
  [ ! -x "$BASE/usr/sbin/dockerd" ] || binds=(--bind="$d/docker:/var/lib/docker" --bind="$d/containerd:/var/lib/containerd")  # overlay on overlay does not work
  [ -z "$MODULES" ] || binds+=(--bind-ro="$MODULES:/lib/modules")
  mkdir -p "$CGROUP/$n"
  (
    echo "$BASHPID" > "$CGROUP/$n/cgroup.procs"
    # seccomp off: emulated, filtering system calls costs more than it protects; network: /proc/sys/net is the node's own
    SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network exec systemd-nspawn -q -D "$d/root" -M "$n" --boot --register=no --keep-unit \
      --network-namespace-path="/run/netns/$n" --capability=all --resolv-conf=off --timezone=off --link-journal=no --console=pipe --bind-ro=/sys/module "${binds[@]}"
  )
}

# Tells the console when sshd listens. Asking from outside, through QEMU, would cost the booting node a process
# per question; a refused connection costs nothing.
watch_ssh() {
  local name address mac; read_node "$1"
  until { : 3<>"/dev/tcp/$address/22"; } 2>/dev/null; do sleep 1; done
  say "$1 answers"
}

# What a power loss or a shutdown leaves: nothing but the disk.
unplug() {
  local n=$1
  echo 1 > "$CGROUP/$n/cgroup.kill"
  while grep -q 'populated 1' "$CGROUP/$n/cgroup.events"; do sleep 0.05; done
  find "$CGROUP/$n" -depth -type d -exec rmdir {} +   # the next boot needs a new one: this one has handed out its controllers
  ip link del "v$n" 2>/dev/null; ip netns del "$n" 2>/dev/null
  umount "$DISK/$n/root" 2>/dev/null || umount -l "$DISK/$n/root"
}

run_node() {
  local n=$1 rc watch
  echo $$ > "$state/$n.pid"; echo $$ > "$CGROUP/control/cgroup.procs"
  make_node "$n"
  while :; do
    mount_node "$n" && plug_in "$n" || break
    watch_ssh "$n" >> "$CONSOLE" & watch=$!
    boot "$n"; rc=$?
    kill "$watch" 2>/dev/null
    unplug "$n"
    [ "$rc" = 133 ] && [ -e "$state/$n.on" ] || break   # 133: the node asked for a reboot
    say "$n reboots"
  done
  rm -f "$state/$n.on"
  say "$n is off"
}

power_on() {
  [ ! -e "$state/$1.on" ] || { say "$1 is on"; return; }
  touch "$state/$1.on"
  setsid "$0" run "$1" </dev/null >>"$share/log/$1.log" 2>&1 &
}

power_off() {
  [ -e "$state/$1.on" ] || { say "$1 is off"; return; }
  ip link set "v$1" nomaster 2>/dev/null   # the kernel must not say good-bye to the node's connections
  rm "$state/$1.on"   # so that it stays off even if it was just rebooting
  echo 1 > "$CGROUP/$1/cgroup.kill"
  while kill -0 "$(cat "$state/$1.pid")" 2>/dev/null; do sleep 0.05; done
}

status() {
  local n _
  while read -r n _; do
    local power=off line=-
    [ ! -e "$state/$n.on" ] || power=on
    [ ! -e "/sys/class/net/v$n/brport" ] || line=up
    [ "$power" = off ] || [ "$line" = up ] || line=down
    echo "$n power=$power wire=$line"
  done < "$share/nodes"
}

all_on() {
  local n _
  while read -r n _; do
    [ -e "$state/$n.on" ] && ip link set "v$n" master lab0 up || power_on "$n"
  done < "$share/nodes"
}

serve() {
  mkdir -p "$state" "$CGROUP/control" "$share/log"
  echo $$ > "$CGROUP/control/cgroup.procs"
  load_modules; say "modules loaded"
  wire || { say "no wire"; exit 1; }
  for c in cpu memory pids; do
    echo "+$c" > /sys/fs/cgroup/cgroup.subtree_control
    echo "+$c" > "$CGROUP/cgroup.subtree_control"
  done 2>/dev/null
  all_on
  say "nodes started"
  while :; do sleep 3600 & wait $!; done
}

case ${1:-} in
  serve) serve ;;
  run) run_node "$2" ;;
  on) power_on "$2" ;;
  off) power_off "$2" ;;
  all-on) all_on ;;
  wire-down) ip link set "v$2" nomaster ;;
  wire-up) ip link set "v$2" master lab0 up ;;
  status) status ;;
  *) sed -n '2,14p' "$0"; exit 2 ;;
esac
