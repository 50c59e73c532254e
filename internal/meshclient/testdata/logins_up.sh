# Users with the logins that hosts have, and sshds of their own for them, on a
# node of the lab: see TestAccLogins. logins_down.sh takes all of it back.
set -e
d=/root/logins
rm -rf $d
mkdir -p $d/keys $d/home $d/nosudo $d/rs
chmod 755 /root $d $d/home $d/nosudo $d/rs
cp -a /etc/passwd /etc/shadow $d/
[ ! -e /etc/doas.conf ] || cp -a /etc/doas.conf $d/
id=60000
while read -r name shell; do
  id=$((id + 1))
  [ $name = lroot ] && uid=0 || uid=$id
  mkdir $d/home/$name
  echo "$name:x:$uid:$id::$d/home/$name:$(command -v $shell || echo $shell)" >>/etc/passwd
  echo "$name:*:19000:0:99999:7:::" >>/etc/shadow
  cp /root/.ssh/authorized_keys $d/keys/$name
  chown $uid $d/home/$name
done <<END
lsh sh
lbash bash
lzsh zsh
lfish fish
ltcsh tcsh
lroot tcsh
lde bash
ldeno bash
lrs bash
ldoas sh
lnoise bash
lnologin /usr/sbin/nologin
lsftp sh
lcloud sh
lms0 sh
lms1 tcsh
lms2 bash
END
chmod 644 $d/keys/*
echo 'lsh,lbash,lzsh,lfish,ltcsh,lde,lnoise,lms1,lms2 ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/logins-test
chmod 440 /etc/sudoers.d/logins-test
echo 'permit nopass ldoas' >/etc/doas.conf
chmod 600 /etc/doas.conf
ln -s "$(command -v doas)" $d/nosudo/doas
printf '#!/bin/sh\necho "sudo-rs: interactive authentication is required" >&2\nexit 1\n' >$d/rs/sudo
chmod 755 $d/rs/sudo
printf 'echo Welcome; echo "HTTP/1.1 400 Nonsense"; printf "no end of line"\n' >$d/home/lnoise/.bashrc
sed -i 's/^.*\(ssh-\)/command="echo '"'"'Please login as the user \\"ubuntu\\" rather than the user \\"root\\".'"'"';echo;sleep 1;exit 142" \1/' $d/keys/lcloud

sshd() {
  port=$1; shift
  { printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "PidFile $d/pid.$port" "AuthorizedKeysFile $d/keys/%u" "$@"
    cat <<END
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
Subsystem sftp internal-sftp
Match User lde,ldeno,lms1
  SetEnv LANG=de_DE.UTF-8
Match User ldoas
  SetEnv PATH=$d/nosudo
Match User lrs
  SetEnv PATH=$d/rs:/usr/bin:/bin
Match User lsftp
  ForceCommand internal-sftp
Match User lms0
  MaxSessions 0
Match User lms1
  MaxSessions 1
Match User lms2
  MaxSessions 2
END
  } >$d/config.$port
}
sshd 2622; sshd 2623 "MaxStartups 1"; sshd 2624
mkdir -p /run/sshd
/usr/sbin/sshd -f $d/config.2622 -E $d/log
/usr/sbin/sshd -f $d/config.2623 -E $d/log
# A host whose /tmp is noexec and whose /usr is read-only, for all that log in.
unshare -m sh -c "mount --make-rprivate / && mount -t tmpfs -o noexec tmpfs /tmp && mount --bind /usr /usr && mount -o remount,ro,bind /usr && exec /usr/sbin/sshd -f $d/config.2624 -E $d/log"
