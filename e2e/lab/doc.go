// Package lab starts the real parts that tests talk to, each one private to the
// test, on loopback and unix sockets in temporary directories, and gone when the test
// ends: libvirtd with its qemu, lxc and test drivers, NATS servers, Kafka brokers, an OpenSSH
// server, and virtcast itself. It also runs the programs of e2e/interop: clients in Java, Python and
// JavaScript that share no code with virtcast.
//
// A libvirtd of the system is never touched. As root, each libvirtd of the lab lives
// in mount, UTS and PID namespaces of its own, with its own /etc/libvirt, /run/libvirt
// and /var/lib/libvirt, so that several run side by side. Everything in them, guests included, dies with
// the namespace's first process, and that process ends when its standard input is
// closed: by the clean-up of the test, or by the kernel when the test is killed.
// Without root, or where namespaces are not permitted, libvirtd runs in session mode,
// which has the qemu and test drivers only.
//
// Nothing skips silently. A part that is not installed skips the test with the
// name of what is missing and the command that installs it, and fails it
// where the environment says CI=true.
package lab
