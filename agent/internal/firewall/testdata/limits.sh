# the commands of docs/guides/firewalls.md that limit who may reach a published port
iptables -t mangle -A PREROUTING ! -i rmesh0 -p tcp --dport 8080 -m addrtype --dst-type LOCAL ! -s 203.0.113.0/24 -j DROP
nft -f - <<X
table inet published {
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname != "rmesh0" fib daddr type local tcp dport 8080 ip saddr != 203.0.113.0/24 drop
  }
}
X
