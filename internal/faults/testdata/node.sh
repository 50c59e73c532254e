# On every node of the fault table, as /var/cache/faults/node.sh: what the mesh and others have on this node, and how long until it is as before.
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
dir=/var/cache/faults
api=http://agent/v1
now() { local up rest; read -r up rest < /proc/uptime; echo "$up"; }
rules() { iptables-save 2>/dev/null | sed -E '/^#/d; s/\[[0-9]+:[0-9]+\]//'; }
# the names of links and the rest of a line, without the numbers that a new link gets
links() { sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/ link-netnsid [0-9]+//; s/valid_lft .*//'; }

# What is the mesh's here, as text.
ours() (
  set +e
  rules | grep -i routingmesh
  ipset save | grep routingmesh | sed 's/ initval .*//' | sort
  ip -o -4 addr show dev rmesh0 | links
  ip -4 route show table all | grep -w rmesh0 | sort
  ip rule | grep 10255
  ip netns
  sysctl net.ipv4.ip_forward net.ipv4.conf.rmesh0.route_localnet net.ipv4.conf.rmesh0.rp_filter
  ip netns exec routingmesh bash -c "$(declare -f rules links)"'
    rules; ip -o -4 addr show up | links; ip -4 route show table all | sort; ip neigh show nud permanent | sort
    bridge fdb show dev vx0 | grep dst | sort; ipvsadm -Sn | sort; sysctl net.ipv4.ip_forward net.ipv4.vs.conntrack'
  cat /etc/systemd/system/routingmesh-agent.service
  systemctl is-enabled routingmesh-agent
  readlink -f /usr/local/bin/routingmesh-agent; sha256sum < /usr/local/bin/routingmesh-agent
  jq -S . < /var/lib/routingmesh/record.json
)
# What is in the packet filter and not the mesh's: the tables of iptables, and all others.
others() (
  set +e
  rules | grep -vi routingmesh
  ip6tables-save 2>/dev/null | sed -E '/^#/d; s/\[[0-9]+:[0-9]+\]//'
  nft list tables | grep -vE ' (filter|nat|mangle|raw|security)$' | while read -r table; do nft list $table; done
)

# save: this is how it shall be.
save() {
  ours > $dir/ours 2>&1
  others > $dir/others 2>&1
  iptables-save > $dir/rules4; ip6tables-save > $dir/rules6; nft list table inet somebody > $dir/nft 2>/dev/null || true
}
# restore: others load their rules again, which a fault has taken as well.
restore() {
  iptables-restore < $dir/rules4; ip6tables-restore < $dir/rules6
  nft list table inet somebody > /dev/null 2>&1 || nft -f $dir/nft
}

agent() { curl -sS --max-time 20 --unix-socket /run/routingmesh/agent.sock $api/status; }

# vip, destination tcp|udp: of port 8080
vip() { ip netns exec routingmesh ipvsadm -Sn | awk -v p="-${1:0:1}" '$1 == "-A" && $2 == p && $3 ~ /:8080$/ {print $3}'; }
destination() { ip netns exec routingmesh ipvsadm -Sn | awk -v p="-${1:0:1}" '$1 == "-a" && $2 == p && $3 ~ /:8080$/ {print $5; exit}'; }
repairs() { agent | jq .repairs; }

# mended START LIMIT: waits until the agent reports no problem and everything of the mesh is as saved; prints the seconds since START.
mended() {
  local start=$1 limit=$2 at problems
  while :; do
    problems=$(agent 2>/dev/null | jq -c .problems) || problems="nothing"
    at=$(now)
    if [ "$problems" = '[]' ] && diff <(ours 2>&1) $dir/ours > $dir/diff; then break; fi
    if awk "BEGIN {exit !($at - $start > $limit)}"; then
      echo "after $limit s it is not mended; the agent says $problems; what differs (< is now, > was): $(cat $dir/diff)" >&2
      return 1
    fi
    sleep 0.1
  done
  awk "BEGIN {printf \"%.1f\n\", $at - $start}"
}

# untouched: the rules of others are as saved, byte for byte.
untouched() { diff <(others 2>&1) $dir/others > $dir/diff || { echo "rules of others are not as they were (< is now, > was): $(cat $dir/diff)" >&2; return 1; }; }

