# First process of a lab namespace. $1 is the lab's directory, $2 the host name.
# Gives libvirtd directories of its own, says "ready", and stays until standard
# input is closed; all else in the PID namespace then dies with it.
set -e
mount --make-rprivate /
mount -t proc proc /proc
for d in /etc/libvirt /etc/sasl2 /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
	mkdir -p "$d" "$1$d"
	mount --bind "$1$d" "$d"
done
# libvirtd looks its host's name up: here it is found without asking anybody.
mount --bind "$1/etc/hosts" /etc/hosts
# In a hybrid layout libvirt_lxc cannot build its own /sys/fs/cgroup while the
# unified hierarchy is mounted below it: with the v1 controllers alone it can.
if grep -q ' /sys/fs/cgroup/unified ' /proc/mounts; then
	umount /sys/fs/cgroup/unified
fi
# Without the system bus there is no systemd-machined nor firewalld that would see guests.
for d in /run/dbus /run/systemd; do
	if [ -d "$d" ]; then mount -t tmpfs tmpfs "$d"; fi
done
hostname "$2"
echo ready
exec 1>&-
cat >/dev/null
