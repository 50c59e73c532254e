set +e # as much as can be
d=/root/logins
for p in $d/pid.*; do kill "$(cat "$p")"; done
cat $d/passwd >/etc/passwd; cat $d/shadow >/etc/shadow
touch -r $d/passwd /etc/passwd; touch -r $d/shadow /etc/shadow
rm -f /etc/sudoers.d/logins-test /etc/doas.conf
[ ! -e $d/doas.conf ] || cp -a $d/doas.conf /etc/
chmod 700 /root
rm -rf $d
