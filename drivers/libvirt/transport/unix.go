package transport

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// testDriver is the driver that has no daemon of its own.
const testDriver = "test"

// sockets returns the names of the sockets to try, best first: the hypervisor's own
// daemon before the one for all, and read-only before read-write. An older daemon, or one
// that was configured so, has no read-only socket; calls are read-only all the same, by
// the flag in CONNECT_OPEN.
func (u *URI) sockets(session bool) []string {
	var daemons []string
	if u.Mode != ModeLegacy && u.Driver != testDriver {
		daemons = append(daemons, "virt"+u.Driver+"d")
	}
	if u.Mode != ModeDirect {
		daemons = append(daemons, "libvirt")
	}
	var names []string
	for _, daemon := range daemons {
		if !session {
			names = append(names, daemon+"-sock-ro")
		}
		names = append(names, daemon+"-sock")
	}
	return names
}

// session says whether the user's own daemon is meant, as libvirt decides it: never for
// root; else for the path /session, and for the test driver.
func (d Dialer) session(u *URI) bool {
	return !d.root() && (u.Path == "/session" || u.Driver == testDriver)
}

func (d Dialer) socketPaths(u *URI) ([]string, error) {
	if u.Socket != "" {
		return []string{u.Socket}, nil
	}
	dirs := d.runDirs()
	if d.session(u) {
		dir, err := sessionDir()
		if err != nil {
			return nil, u.fail("dial", err, "set XDG_RUNTIME_DIR or HOME, or name the socket with socket=")
		}
		dirs = []string{dir}
	}
	var paths []string
	for _, name := range u.sockets(d.session(u)) {
		for _, dir := range dirs {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, nil
}

func (d Dialer) runDirs() []string {
	if d.RunDirs != nil {
		return d.RunDirs
	}
	run, err := os.Stat("/run")
	varRun, errVar := os.Stat("/var/run")
	if err == nil && errVar == nil && os.SameFile(run, varRun) {
		return []string{"/run/libvirt"}
	}
	return []string{"/run/libvirt", "/var/run/libvirt"}
}

// sessionDir is where the user's daemon has its socket: below $XDG_RUNTIME_DIR, else
// below the cache directory ($XDG_CACHE_HOME, else ~/.cache). As the XDG specification
// has it, a relative path counts for nothing.
func sessionDir() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "libvirt"), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "libvirt"), nil
	}
	if dir := inHome(".cache", "libvirt"); dir != "" {
		return dir, nil
	}
	return "", errors.New("no directory for the session daemon's socket: neither XDG_RUNTIME_DIR nor HOME is set to an absolute path")
}

// dialUnix tries the sockets in their order. The first that accepts wins; when none does,
// the error names each with its reason.
func (d Dialer) dialUnix(ctx context.Context, u *URI) (*Conn, error) {
	paths, err := d.socketPaths(u)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	var tried []string
	var errs []error
	for _, path := range paths {
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err == nil {
			return &Conn{Conn: conn, Kind: Unix, Encrypted: true, Via: "unix " + path}, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, u.fail("dial", cause, "")
		}
		errs = append(errs, err)
		tried = append(tried, path+" ("+reason(err)+")")
	}
	return nil, u.fail("dial", &triedError{tried: tried, errs: errs}, d.socketHint(u, errors.Join(errs...)))
}

// triedError says what every socket answered, in one line.
type triedError struct {
	tried []string
	errs  []error
}

func (e *triedError) Error() string {
	return "no socket accepts: " + strings.Join(e.tried, ", ")
}

func (e *triedError) Unwrap() []error { return e.errs }

func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

func (d Dialer) socketHint(u *URI, err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "this user may not use the socket; join the group libvirt (usermod -aG libvirt USER), or check unix_sock_group and unix_sock_ro_perms in libvirtd.conf"
	case u.Socket != "":
		return "is the daemon running, and is socket= its path?"
	case d.session(u):
		return "the session daemon is not running, and virtcast starts none; start it with virsh -c qemu:///session uri, or libvirtd -d"
	default:
		return "libvirt is not installed or not running; start libvirtd, or the hypervisor's own daemon (systemctl start virtqemud.socket)"
	}
}
