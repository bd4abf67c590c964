//go:build !unix

package journal

import (
	"errors"
	"io"
)

func lockFile(string) (io.Closer, error) {
	return nil, errors.New("a journal needs a system with flock")
}
