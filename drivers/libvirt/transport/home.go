package transport

import (
	"os"
	"path/filepath"
)

// home returns the user's home directory, or "" if there is none. A relative one is none:
// known hosts, keys and certificates are never taken from below the working directory,
// which others may be able to write.
func home() string { return absolute(os.UserHomeDir()) }

// inHome returns a path in the home directory, or "" without one.
func inHome(elements ...string) string {
	dir := home()
	if dir == "" {
		return ""
	}
	return filepath.Join(append([]string{dir}, elements...)...)
}

// absolute returns dir, or "" if it is not to be had or relative.
func absolute(dir string, err error) string {
	if err != nil || !filepath.IsAbs(dir) {
		return ""
	}
	return dir
}

// noHome says why nothing of the user's home directory was looked at.
const noHome = "HOME is not set to an absolute path"
