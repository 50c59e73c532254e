package installer

// sandbox is what of systemd.exec(5) the agent can live with. A process that may load modules and
// change namespaces can do anything in the end; this is so that a mistake in the agent, or
// in a program that it runs, is not that much by itself.
//
//   - Capabilities: NET_ADMIN and NET_RAW for everything of the mesh; SYS_ADMIN for setns and
//     the mount of the namespace; SYS_MODULE for modprobe; SYS_PTRACE and DAC_READ_SEARCH to
//     see who listens on a port; DAC_OVERRIDE, FOWNER and CHOWN to repair its own files where
//     their folder is not root's; NET_BIND_SERVICE for a health address below 1024.
//   - Address families: what the kernel is asked by, D-Bus and the agent's socket, the
//     self-test's frames, checks and web. INET6 is Go's and iptables' way to find out about it.
//   - Namespaces: setns and unshare of network namespaces only.
//   - Devices: the self-test's TUN. No disk, no memory.
//   - System calls are refused, not punished: modprobe may run a command of the administrator.
//
// Nothing here may give the unit a mount namespace of its own, as ProtectSystem, ProtectHome,
// ProtectKernelTunables, ProtectKernelModules, ProtectKernelLogs, ProtectControlGroups,
// ProtectProc, PrivateTmp, PrivateDevices, PrivateMounts, every ...Paths= and MountFlags=slave
// do. systemd makes such a namespace a slave of the host's, with MountFlags=shared too: the mount
// of /run/netns/routingmesh would be seen by nobody else (ip netns, the administrator, the
// next agent), and the end of the agent would be the end of the namespace and of all
// traffic. So homes and kernel tunables stay as visible as they are; TestUnit_NoMountNamespace.
const sandbox = `NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SYS_ADMIN CAP_SYS_MODULE CAP_SYS_PTRACE CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=net
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
MemoryDenyWriteExecute=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
`
