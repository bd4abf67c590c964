package lab

import (
	"os"
	"testing"
	"time"
)

// SoakVariable is the environment variable with the duration of tests that can go on for
// any time, such as 5m. "make soak" sets it.
const SoakVariable = "VIRTCAST_SOAK"

// Soak returns how long a test goes on: the duration in [SoakVariable] or, where that is
// not set, the given time, which suits a run of all tests.
func Soak(t testing.TB, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(SoakVariable)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("lab: %s=%q is no duration: write 5m, say", SoakVariable, text)
	}
	return d
}
