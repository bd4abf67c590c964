//go:build !linux

package journal

import (
	"errors"
	"time"
)

func mountTmpfs(string, string) error { return errors.ErrUnsupported }

func unmount(string) error { return nil }

func cpuTime() time.Duration { return 0 }
