# Makes a system out of the one that is there, and becomes its systemd. It runs as the first process of PID, mount, UTS, IPC, network and
# cgroup namespaces of its own. What it and all below it write is in memory, and gone with them; what belongs to no namespace is read-only.
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for node in null zero full random urandom tty; do
	: >dev/$node
	mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs home
# These ask the kernel for modules and file systems that all namespaces share.
for unit in systemd-modules-load.service dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
	ln -sf /dev/null etc/systemd/system/$unit
done
# No login waits for a session of systemd's.
for unit in systemd-logind.service dbus-org.freedesktop.login1.service; do
	ln -sf /dev/null etc/systemd/system/$unit
done
# Services, sockets and timers that this machine's administrator has enabled.
rm -rf etc/systemd/system/*.wants
# Debian's hook by which a machine that runs no services of its own keeps packages from starting theirs.
rm -f usr/sbin/policy-rc.d
pivot_root . mnt
umount --lazy /mnt
# As systemd makes it of any root but a container's: what is mounted here, credentials too, is seen in the namespaces of services.
mount --make-rshared /
# The kernel's clock, log and modules are the outer system's. "container" keeps systemd from the kernel's settings (systemd's CONTAINER_INTERFACE).
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=keyreeve-test \
	setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog,-wake_alarm \
	/lib/systemd/systemd --system --unit=basic.target --show-status=false
