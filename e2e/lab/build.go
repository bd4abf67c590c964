package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// buildTimeout bounds the build of a program, with whatever it depends on, on a busy
// machine.
const buildTimeout = 8 * time.Minute

// build builds a main package of this module or of one that it depends on and
// returns the path of the executable. Executables are kept in the user's cache
// directory, so that one that is up to date costs no time.
func build(pkg, name string, race bool) (path string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256([]byte(root))
	dir := filepath.Join(cache, "virtcast-lab", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cgo, flags := "CGO_ENABLED=0", []string{"build"}
	if race {
		cgo, flags, name = "CGO_ENABLED=1", append(flags, "-race"), name+"-race"
	}
	path = filepath.Join(dir, name)
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	cmd := command.New(context.Background(), buildTimeout, "go", append(flags, "-o", path, pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// moduleRoot returns the directory of the module that the test belongs to.
func moduleRoot() (string, error) {
	out, err := command.New(context.Background(), Patience, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	gomod := strings.TrimSpace(string(out))
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("the test does not run inside a module")
	}
	return filepath.Dir(gomod), nil
}

// lockFile keeps the tests of several packages, which are processes of their own, from
// writing the same executable at a time. It blocks until the lock is free.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil // closing gives up the lock
}
