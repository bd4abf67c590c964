#!/bin/bash
# Installs what the tests need on Debian: the real hypervisors and servers that
# package e2e/lab starts, and what runs Kafka and the programs of e2e/interop. Their jars and packages are
# fetched by the tests themselves. Does nothing where all of it is there already. It neither starts nor
# restarts a service: a libvirtd of the system is left as it is.
set -euo pipefail

# Each line: a program that the tests run, and the package that has it.
needs='
libvirtd                                                     libvirt-daemon
/etc/libvirt/qemu.conf                                       libvirt-daemon-system
/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so  libvirt-daemon-driver-qemu
virsh                                                        libvirt-clients
/usr/lib/libvirt/libvirt_lxc                                 libvirt-daemon-driver-lxc
qemu-system-x86_64                                           qemu-system-x86
qemu-img                                                     qemu-utils
busybox                                                      busybox-static
nsenter                                                      util-linux
sshd                                                         openssh-server
ssh-keygen                                                   openssh-client
nc                                                           netcat-openbsd
saslpasswd2                                                  sasl2-bin
/usr/lib/*/sasl2/libscram.so                                 libsasl2-modules
/usr/lib/*/sasl2/libsasldb.so                                libsasl2-modules-db
javac                                                        default-jdk-headless
mvn                                                          maven
python3                                                      python3
/usr/lib*/python3*/ensurepip                                 python3-venv
node                                                         nodejs
npm                                                          npm
'
PATH=$PATH:/usr/sbin:/sbin

# present NAME: whether a program, or a file that matches a pattern, is there.
present() {
	case $1 in
	/*) compgen -G "$1" >/dev/null ;;
	*) type -P "$1" >/dev/null ;;
	esac
}

missing=()
while read -r program package; do
	if [[ -n $program ]] && ! present "$program"; then
		missing+=("$package")
	fi
done <<<"$needs"

if [[ ${#missing[@]} -eq 0 ]]; then
	echo "setup: everything that the tests need is installed"
	exit 0
fi
if ! type -P apt-get >/dev/null; then
	echo "setup: missing: ${missing[*]} (Debian's package names); install them with this system's package manager" >&2
	exit 1
fi
if [[ $EUID -ne 0 ]]; then
	echo "setup: missing; install with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# Nothing that is installed here shall start a service: the tests start their own. A
# policy that is there already is kept.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi

# Waits up to two minutes for another apt or dpkg, and tries again if a mirror fails.
apt() {
	local try
	for try in 1 2 3; do
		if apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@"; then
			return 0
		fi
		echo "setup: apt-get $1: attempt $try did not succeed" >&2
		sleep 5
	done
	return 1
}

echo "setup: installing ${missing[*]} (no service is started now; see systemctl for what starts at boot)"
if ! apt-get -q -s install --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
	apt update # no package lists yet
fi
if ! apt install --no-install-recommends "${missing[@]}"; then
	apt update # the lists name versions that the mirror no longer has
	apt install --no-install-recommends "${missing[@]}"
fi
