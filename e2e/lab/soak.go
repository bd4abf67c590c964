package lab

import (
	"os"
	"testing"
	"time"
)

// SoakVariable is the environment variable with the time for which tests that go on for as long as one likes do so, such as
// 5m; "make soak" sets it.
const SoakVariable = "VIRTCAST_SOAK"

// Soak returns how long a test goes on: what [SoakVariable] says, or the given time, which suits a run of all tests.
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
