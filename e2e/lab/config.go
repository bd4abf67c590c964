package lab

import (
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// prepare writes the daemon's configuration and makes its directories. All of it may
// be read by everybody, for the session daemon of another user.
func (d *Daemon) prepare(opts Options) error {
	for _, dir := range []string{
		"etc/libvirt", "etc/sasl2", "run/libvirt", "var/lib/libvirt", "var/log/libvirt", "var/cache/libvirt",
		"config/libvirt", "cache", "data", "guests",
	} {
		if err := os.MkdirAll(d.path(dir), 0o755); err != nil {
			return err
		}
	}
	lines, err := d.listen(opts)
	if err != nil {
		return err
	}
	lines = append([]string{
		fmt.Sprintf("unix_sock_dir = %q", d.path()),
		`auth_unix_rw = "none"`,
		`auth_unix_ro = "none"`,
		`log_outputs = "1:stderr"`,
		fmt.Sprintf("log_filters = %q", cmp.Or(opts.LogFilters, "3:remote 4:event 3:util 3:object 3:json 3:node_device 3:rpc")),
		fmt.Sprintf("host_uuid = %q", uuid.NewString()),
	}, append(lines, opts.Config...)...)
	qemu := []string{
		`user = "root"`,
		`group = "root"`,
		`security_driver = "none"`,
		`namespaces = []`,
		`remember_owner = 0`,
		`cgroup_controllers = []`,
		`stdio_handler = "file"`,
	}
	files := map[string][]string{
		"libvirtd.conf":          lines,
		"etc/hosts":              {"127.0.0.1 localhost", "127.0.1.1 " + d.Hostname},
		"etc/libvirt/qemu.conf":  qemu,
		"etc/sasl2/libvirt.conf": {"mech_list: scram-sha-256 plain", "sasldb_path: " + d.path("sasl.db")},
	}
	for name, lines := range files {
		if err := os.WriteFile(d.path(name), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return d.handOver()
}

// listen chooses the ports and returns the lines for libvirtd.conf.
func (d *Daemon) listen(opts Options) ([]string, error) {
	lines := []string{`listen_addr = "127.0.0.1"`, "listen_tls = 0", "listen_tcp = 0"}
	if opts.TCP {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		d.TCPAddr = addr
		lines[2] = "listen_tcp = 1"
		lines = append(lines, `auth_tcp = "none"`, fmt.Sprintf("tcp_port = %q", port(addr)))
	}
	if opts.PKI == nil {
		return lines, nil
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	d.TLSAddr = addr
	lines[1] = "listen_tls = 1"
	auth := "none"
	if len(opts.SASL) > 0 {
		auth = "sasl"
	}
	return append(lines,
		fmt.Sprintf("tls_port = %q", port(addr)),
		fmt.Sprintf("auth_tls = %q", auth),
		fmt.Sprintf("ca_file = %q", filepath.Join(opts.PKI.Dir, "cacert.pem")),
		fmt.Sprintf("cert_file = %q", filepath.Join(opts.PKI.Dir, "servercert.pem")),
		fmt.Sprintf("key_file = %q", filepath.Join(opts.PKI.Dir, "serverkey.pem")),
	), nil
}

// handOver gives the directory to the user that a session daemon runs as.
func (d *Daemon) handOver() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chmod(d.Dir, 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(d.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
}

// freeAddr returns an address of the loopback on which nobody listens now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
