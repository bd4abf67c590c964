#!/bin/bash
# Installs what the tests need on Debian 12, beyond Go: the hypervisors and servers that
# package e2e/lab starts, a C compiler for the race detector, and what runs Kafka and the
# programs of e2e/interop. The tests fetch the jars and packages of those themselves.
#
# Does nothing where everything is there already. It neither starts nor restarts a service:
# a libvirtd of the system is left as it is. It names what it could not install, and then
# fails.
set -euo pipefail

# Each line: a program that the tests run, or a file that they need, and its package.
needs='
libvirtd                                                     libvirt-daemon
/etc/libvirt/qemu.conf                                       libvirt-daemon-system
/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so  libvirt-daemon-driver-qemu
virsh                                                        libvirt-clients
/usr/lib/libvirt/libvirt_lxc                                 libvirt-daemon-driver-lxc
qemu-system-x86_64                                           qemu-system-x86
qemu-img                                                     qemu-utils
gcc                                                          gcc
/usr/include/stdlib.h                                        libc6-dev
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

# look: sets missing to the packages of what is not there, and lacking to "PROGRAM (PACKAGE)".
look() {
	local program package
	missing=() lacking=()
	while read -r program package; do
		if [[ -n $program ]] && ! present "$program"; then
			missing+=("$package")
			lacking+=("$program (package $package)")
		fi
	done <<<"$needs"
}

look
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
# Nothing that is installed here shall start a service: the tests start their own. A policy
# that is there already is kept.
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

# known: whether the package lists have all that is missing, at versions that can be installed.
known() { apt-get -q -s install --no-install-recommends "${missing[@]}" >/dev/null 2>&1; }

echo "setup: installing ${missing[*]} (no service is started now; see systemctl for what starts at boot)"
known || apt update || true # no package lists yet
if ! known || ! apt install --no-install-recommends "${missing[@]}"; then
	apt update || true # the lists name versions that the mirror no longer has
	for package in "${missing[@]}"; do # one that cannot be had does not keep the others out
		apt install --no-install-recommends "$package" || true
	done
fi

look
if [[ ${#missing[@]} -gt 0 ]]; then
	echo "setup: could not be installed: $(printf '%s, ' "${lacking[@]}" | sed 's/, $//')" >&2
	exit 1
fi
echo "setup: everything that the tests need is installed"
