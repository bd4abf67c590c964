// Package lab starts the real parts that tests talk to: libvirtd with its qemu, lxc and
// test drivers, NATS servers, Kafka brokers, an OpenSSH server, and virtcast itself. Each
// part is private to its test, listens on loopback or on a unix socket in a temporary
// directory, and is gone when the test ends. The lab also runs the programs of
// e2e/interop: clients in Java, Python and JavaScript that share no code with virtcast.
//
// A libvirtd of the system is never touched. As root, each libvirtd of the lab lives in
// mount, UTS and PID namespaces of its own, with its own /etc/libvirt, /run/libvirt and
// /var/lib/libvirt: several can run side by side. Every process in the namespaces, guests
// included, dies with the first one. The first process ends when its standard input is
// closed: by the clean-up of the test, or by the kernel when the test is killed. Without
// root, or where namespaces are not permitted, libvirtd runs in session mode, which has
// the qemu and test drivers only.
//
// Nothing skips silently. Where a part is not installed, the test is skipped with a
// message that names the missing part and the command that installs it. Where the
// environment has CI=true, the test fails instead.
package lab
