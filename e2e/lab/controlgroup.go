package lab

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// removeControlGroups removes the empty control groups that killed containers leave
// behind. Their names have the daemon's id in them, since the containers' names have.
func (d *Daemon) removeControlGroups(t testing.TB) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/*/machine/lxc-*", "/sys/fs/cgroup/machine/lxc-*"} {
		groups, err := filepath.Glob(pattern)
		if err != nil {
			t.Errorf("lab: %v", err)
		}
		for _, group := range groups {
			if strings.Contains(group, d.id) {
				removeControlGroup(group)
			}
		}
	}
}

// removeControlGroup removes a group, its children first. A group that is still in use is
// left alone: an empty group costs nothing.
func removeControlGroup(group string) {
	var dirs []string
	_ = filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i])
	}
}
