package transport

import "strings"

// remoteCommand returns what the SSH server is asked to run, in libvirt's manner:
// virt-ssh-helper, which finds the daemon's socket itself, or netcat on a socket that we
// name.
func (u *URI) remoteCommand() string {
	helper := "exec virt-ssh-helper -r " + quote(u.helperURI())
	var script string
	switch u.remoteProxy() {
	case ProxyNative:
		script = helper
	case ProxyNetcat:
		script = u.netcatScript()
	default:
		script = "if command -v virt-ssh-helper >/dev/null 2>&1; then " + helper + "; else " + u.netcatScript() + "; fi"
	}
	return "sh -c " + quote(script)
}

// helperURI is what virt-ssh-helper gets: the URI as seen on the remote host. Of libvirt
// 9.0 the helper ignores mode, and acts as with auto.
func (u *URI) helperURI() string {
	uri := u.OpenName()
	if u.Mode == "" {
		return uri
	}
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	return uri + separator + "mode=" + string(u.Mode)
}

// netcatScript runs netcat with -q0, so that it ends with its input, where it knows that
// option.
func (u *URI) netcatScript() string {
	netcat := u.Netcat
	if netcat == "" {
		netcat = "nc"
	}
	run := quote(netcat)
	return "if " + run + ` -q 2>&1 | grep "requires an argument" >/dev/null 2>&1; then Q=-q0; else Q=; fi; exec ` +
		run + " $Q -U " + quote(u.remoteSocket())
}

// remoteSocket is the socket on the remote host: the system's read-only one, which exists
// with every daemon that has not been told otherwise. /var/run leads to it on every Unix,
// /run only on some.
func (u *URI) remoteSocket() string {
	if u.Socket != "" {
		return u.Socket
	}
	name := "libvirt"
	if u.Mode == ModeDirect {
		name = "virt" + u.Driver + "d"
	}
	return "/var/run/libvirt/" + name + "-sock-ro"
}

// quote makes s one word of a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
