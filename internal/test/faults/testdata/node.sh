# On every node of the fault table, as /var/cache/faults/node.sh: what the mesh and others have on this node, and how long until it is as before.
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
dir=/var/cache/faults
api=http://agent/v1
now() { local up rest; read -r up rest < /proc/uptime; echo "$up"; }
rules() { iptables-save 2>/dev/null | sed -E '/^#/d; s/\[[0-9]+:[0-9]+\]//'; }
# the names of links and the rest of a line, without the numbers that a new link gets
links() { sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/ link-netnsid [0-9]+//; s/valid_lft .*//'; }

# What is the mesh's here, as text; with few programs, as it is their start that an emulated machine is slow at. Whether the agent's program
# is what it was, byte for byte, is the agent's to say.
ours() (
  set +e
  rules | grep -i routingmesh
  {
    ipset save | grep routingmesh | sed 's/ initval .*//'
    ip -o -4 addr show dev rmesh0 | links
    ip -4 route show table all | grep -w rmesh0
    ip rule | grep 10255
    ip netns
    head /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/rmesh0/{route_localnet,rp_filter}
    cat /etc/systemd/system/routingmesh-agent.service /etc/systemd/system/routingmesh-sets.service /var/lib/routingmesh/record.json
    stat -c '%N %a' /etc/systemd/system/multi-user.target.wants/routingmesh-agent.service /usr/local/bin/routingmesh-agent
    stat -Lc '%n %a %s' /usr/local/bin/routingmesh-agent
  } | sort
  ip netns exec routingmesh bash -c "$(declare -f rules links)"'
    rules
    { ip -o -4 addr show up | links; ip -4 route show table all; ip neigh show nud permanent; bridge fdb show dev vx0 | grep dst; ipvsadm -Sn
      head /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/vs/conntrack; } | sort'
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

# well START LIMIT: waits until the agent reports no problem; prints the seconds since START. Its answer stays in $dir/status.
well() { await "$1" "$2" true; }
# repaired START LIMIT: the same, and everything of the mesh is as saved, which takes this script longer to see than the agent to repair.
repaired() { await "$1" "$2" as_saved; }
as_saved() { diff <(ours 2>&1) $dir/ours > $dir/diff; }

# await looks several times a second, so it starts few programs itself: an emulated machine would be busy with the looking.
await() {
  local limit=$2 met=$3 start status took
  start=$(hundredths "$1")
  : > $dir/diff
  while :; do
    status=$(agent 2>/dev/null) || status='no answer'
    took=$(($(hundredths "$(now)") - start))
    echo "$status" > $dir/status
    if [[ $status == *'"problems":[]'* ]] && $met; then break; fi
    if ((took > limit * 100)); then
      echo "after $limit s it is not repaired; the agent says $(jq -c .problems <<< "$status" 2>&1); what differs (< is now, > was): $(cat $dir/diff)" >&2
      return 1
    fi
    sleep 0.2
  done
  printf '%d.%d\n' $((took / 100)) $((took % 100 / 10))
}
# hundredths of seconds of /proc/uptime, which has two decimals
hundredths() { echo $((10#${1/./})); }

# within SECONDS COMMAND...: the command succeeds before they have passed.
within() {
  local up rest end
  read -r up rest < /proc/uptime; end=$((${up%.*} + $1)); shift
  until "$@"; do
    read -r up rest < /proc/uptime
    [ ${up%.*} -lt $end ] || return 1
    sleep 0.3
  done
}

# warns TEXT: one of the agent's warnings has it; warns nothing: there is none.
warns() { agent | jq -e --arg text "$1" '[.warnings[]?.text] | if $text == "nothing" then . == [] else any(contains($text)) end' > $dir/warns; }
# selftested N: the self-test has sent so many packets more.
selftested() {
  local packets=/sys/class/net/rmesht0/statistics/rx_packets
  wait_until "the self-test has sent $1 packets" "[ \$(cat $packets) -ge $(($(cat $packets) + $1)) ]"
}

# untouched: the rules of others are as saved, byte for byte.
untouched() { diff <(others 2>&1) $dir/others > $dir/diff || { echo "rules of others are not as they were (< is now, > was): $(cat $dir/diff)" >&2; return 1; }; }

