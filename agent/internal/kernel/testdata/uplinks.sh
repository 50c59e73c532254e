sysctl -w net.ipv4.conf.eth1.rp_filter=2
iptables -t mangle -A PREROUTING -i eth1 -j CONNMARK --set-mark 200
iptables -t mangle -A PREROUTING -i rmesh0 -j CONNMARK --restore-mark
ip rule add fwmark 200 lookup 200
