package sasl

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Service is the name under which libvirt's own logins stand in an authentication file.
const Service = "libvirt"

// Credentials are one login. The password is never printed.
type Credentials struct {
	// Username is who logs in: authname= of the file, or username= without one.
	Username string
	Password string
	// AuthorizeAs is whom to act as, if that is someone else: username= of a file that
	// has authname= too.
	AuthorizeAs string
	// Source is the file that they came from, for messages.
	Source string
}

// String names the user and the file.
func (c Credentials) String() string { return fmt.Sprintf("%s from %s", c.Username, c.Source) }

// GoString keeps the password out of %#v.
func (c Credentials) GoString() string { return "sasl.Credentials(" + c.String() + ")" }

// LogValue keeps the password out of logs.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// ErrNoCredentials is returned when there is no login for a host. The error that wraps it
// names the files.
var ErrNoCredentials = errors.New("no credentials")

// Find reads the login for a host ("" for a local daemon) from the first of these files
// that exists: authFile (the URI's authfile= parameter), $LIBVIRT_AUTH_FILE, auth.conf in
// $XDG_CONFIG_HOME/libvirt or else ~/.config/libvirt, and /etc/libvirt/auth.conf. The
// first two must exist if they are named. Only that one file counts, as in libvirt; but
// there the environment beats the URI, here the URI, which says more, wins. The error
// wraps [ErrNoCredentials] when the file has no login for the host, or when there is no
// file.
func Find(authFile, host string) (Credentials, error) {
	path, err := locate(authFile)
	if err != nil {
		return Credentials{}, err
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return Credentials{}, fmt.Errorf("read authentication file: %w", err)
	}
	file, err := ParseFile(path, data)
	if err != nil {
		return Credentials{}, err
	}
	return file.Lookup(Service, host)
}

// systemFile is libvirt's file for all users.
const systemFile = "/etc/libvirt/auth.conf"

// locate returns the file that counts.
func locate(authFile string) (string, error) {
	if authFile != "" {
		return authFile, nil
	}
	if env := os.Getenv("LIBVIRT_AUTH_FILE"); env != "" {
		return env, nil
	}
	candidates := []string{systemFile}
	if config := configDir(); config != "" {
		candidates = []string{filepath.Join(config, "libvirt", "auth.conf"), systemFile}
	}
	for _, path := range candidates {
		_, err := os.Stat(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("look for authentication file: %w", err)
		}
	}
	return "", fmt.Errorf("%w: none of %s exists; write one, or name it with authfile= in the URI or LIBVIRT_AUTH_FILE",
		ErrNoCredentials, strings.Join(candidates, ", "))
}

// configDir returns the directory of the user's configuration, or "" if there is none. A
// relative path counts for nothing, as the XDG specification has it: a login is never
// taken from below the working directory unless authfile= or LIBVIRT_AUTH_FILE names it.
func configDir() string {
	if config := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) {
		return config
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".config")
	}
	return ""
}
