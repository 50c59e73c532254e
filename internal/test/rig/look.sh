# What this host looks like, as text that is the same as long as nobody changes the host: run before the mesh and after it.
# Left out is only what lives by itself: counters, ages, addresses of sessions, the journal, the kernel's own secrets
# (tcp_fastopen_key is made when somebody first listens with Fast Open, as HAProxy does, and gone with the next boot).
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
section() { echo "== $1"; }
counters() { sed -E '/^#/d; s/\[[0-9]+:[0-9]+\]/[0:0]/; s/counter packets [0-9]+ bytes [0-9]+/counter/'; }

section "iptables-save";   iptables-save 2>/dev/null | counters
section "ip6tables-save";  ip6tables-save 2>/dev/null | counters
section "iptables-legacy-save"; iptables-legacy-save 2>/dev/null | counters
section "nft list ruleset"; nft list ruleset 2>/dev/null | counters
section "ipset save";      ipset save 2>/dev/null | sort
section "ipvsadm -Sn";     ipvsadm -Sn 2>/dev/null
section "ip link";         ip -d link show
section "ip address";      ip address show | sed -E 's/valid_lft .*//'
section "ip route";        ip route show table all | sort
section "ip -6 route";     ip -6 route show table all | sed -E 's/expires [0-9]+sec//' | sort
section "ip rule";         ip rule show; ip -6 rule show
section "ip neighbour, permanent"; ip neighbour show nud permanent
section "bridge fdb";      bridge fdb show 2>/dev/null | sort
section "ip netns";        ip netns list
section "mounts";          awk '{print $5, $9, $10}' /proc/self/mountinfo | grep -v '^/run/user/' | sort
section "listeners";       ss -Hltunx | awk '{print $1, $2, $5}' | grep -v '/run/user/' | sort
section "processes of the mesh"; ps -eo args | grep '[r]outingmesh'
section "units, failed or the mesh's"; systemctl list-units --all --failed --no-legend --no-pager; systemctl list-units --all --no-legend --no-pager '*routingmesh*' '*rmesh*'
section "users";           getent passwd; getent group
section "sysctls";         sysctl -a 2>/dev/null | grep -E '^(net|vm|fs\.inotify|kernel\.(panic|modules_disabled))' | grep -vE '^net\.netfilter\.nf_conntrack_count|^net\.ipv4\.vs\.|stable_secret|tcp_fastopen_key|^vm\.stat' | sort
section "files"
prune='( -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path /var/lib/private -o -path /var/lib/nginx -o -path /run/systemd -o -path /run/user -o -path /run/log -o -path /run/utmp -o -path /run/motd.dynamic -o -path /var/lib/dpkg/info -o -path /tmp/systemd-private-* -o -path /var/tmp/systemd-private-* -o -path /root/.bash_history )'
# unit files and their links are among them; the rest of /usr belongs to the distribution's packages
find /etc /opt /root /home /run /srv /tmp /usr/local /usr/lib/systemd /var -xdev $prune -prune -o -type d -printf '%p %y %m %u:%g\n' -o -type l -printf '%p %y %u:%g -> %l\n' -o -printf '%p %y %m %u:%g %s %T+\n' | sort
section "what is in the files of /etc and /usr/local"
find /etc /usr/local -xdev -type f -print0 | sort -z | xargs -0r sha256sum
