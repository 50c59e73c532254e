# container ports that nothing listens on: Docker without its proxy, a CNI's hostPort
iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A DOCKER -i docker0 -j RETURN
iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:80
iptables -t nat -N CNI-DN-abc; iptables -t nat -A PREROUTING -p tcp -m multiport --dports 8090,8091 -j CNI-DN-abc
iptables -t nat -A CNI-DN-abc -p tcp -m tcp --dport 8090 -j DNAT --to-destination 10.22.0.5:80
iptables -t nat -N ROUTINGMESH; iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j ROUTINGMESH
iptables -t nat -A ROUTINGMESH -p tcp -m tcp --dport 9000 -j DNAT --to-destination 10.255.1.1
iptables -t nat -A PREROUTING -s 198.51.100.7 -p tcp -m tcp --dport 8099 -j DNAT --to-destination 10.9.9.9
nft -f - <<X
table ip hand { chain pre { type nat hook prerouting priority -90; udp dport { 5353, 5354 } dnat to 10.0.0.9;
 }
}
X
