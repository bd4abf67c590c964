package config

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultDataDir is the data directory of a virtcast without a configuration:
// $XDG_STATE_HOME/virtcast, by default ~/.local/state/virtcast.
func DefaultDataDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "virtcast"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the data (or give --data-dir): %w", err)
	}
	return filepath.Join(home, ".local", "state", "virtcast"), nil
}
