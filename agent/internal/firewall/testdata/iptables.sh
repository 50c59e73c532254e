# the mesh's jumps stand first; INPUT, FORWARD drop what nothing accepts, OUTPUT too
iptables -N ROUTINGMESH-IN; iptables -N ROUTINGMESH-FWD
iptables -A ROUTINGMESH-IN -p udp --dport 4789 -j ACCEPT
iptables -I INPUT -j ROUTINGMESH-IN; iptables -I FORWARD -j ROUTINGMESH-FWD
iptables -A INPUT -p tcp --dport 22 -j ACCEPT
iptables -A OUTPUT -o lo -j ACCEPT; iptables -A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; iptables -A OUTPUT -p tcp --dport 443 -j ACCEPT
iptables -P INPUT DROP; iptables -P FORWARD DROP; iptables -P OUTPUT DROP
iptables -t mangle -A PREROUTING -p tcp --dport 8080 -j DROP
