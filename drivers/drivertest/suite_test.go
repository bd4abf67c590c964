package drivertest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/virtcast/virtcast/e2e/command"
)

// faultVariable names the fault of the driver that TestSuite runs the suite on.
const faultVariable = "DRIVERTEST_FAULT"

const silence = 100 * time.Millisecond

// TestSuite runs the suite on a driver without a fault, or with the one that the
// environment names.
func TestSuite(t *testing.T) {
	harness := Harness{Silence: silence, New: func(*testing.T) Hypervisor { return &model{} }}
	if fault := os.Getenv(faultVariable); fault != "" {
		harness.New = func(*testing.T) Hypervisor { return &model{fault: fault} }
		harness.Patience = 500 * time.Millisecond // A fault is often that something never comes.
	}
	Run(t, harness)
}

// TestFaultsAreFound runs TestSuite once for each fault, in a process of its own, and
// wants it to fail where it should.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct{ fault, test, message string }{
		{"no identity", "1/identity", "the identity is not whole"},
		{"open retries", "1/refused", "want once"},
		{"open ignores its context", "1/context", "after its context ended"},
		{"context ends the session", "1/context_ends_after_open", "Watch: the session is over"},
		{"writable", "2/read-only", "the session may write"},
		{"reorders", "3/order", "observed (-want +got)"},
		{"loses", "3/once", "observed (-want +got)"},
		{"duplicates", "3/once", "observed (-want +got)"},
		{"duplicates at changes", "3/change_over", "observed (-want +got)"},
		{"concurrent", "3/order", "two calls at the same time"},
		{"loses what comes early", "4/before_the_answer", "got 1 observations, want 2"},
		{"adds only", "4/no_longer_wanted", "after Watch had returned"},
		{"delivers the unwanted", "4/no_longer_wanted", "events.go"},
		{"drops unknown numbers", "5/unknown_numbers", "got 3 observations, want 4"},
		{"accepts everything", "5/refused_kind", "want the refused kind for good"},
		{"refuses for good", "5/refused_for_a_moment", "not for good"},
		{"ends at undecodable", "5/undecodable", "observations, want 2"},
		{"ignores garbage", "5/out_of_step", "the session is not done"},
		{"notices nothing", "6/silence", "the session is not done"},
		{"err after close", "7/close", "Err after Close"},
		{"no err after loss", "7/loss", "Err is nil after a loss"},
		{"observes after the end", "7/close", "a call after the session was done"},
		{"calls hang", "7/call_in_flight", "was not ended by the loss"},
		{"leaks", "7/close", "goroutines are left"},
		{"lists nothing", "8/listing", "is listed as"},
		{"lists at once", "8/place_of_a_listing", "observations, want"},
		{"too sure", "9/sure", "was not delivered"},
		{"keeps long names", "11/long_name", "a name of 100000 bytes"},
	}
	for _, test := range tests {
		t.Run(test.fault+" "+test.test, func(t *testing.T) {
			t.Parallel()
			cmd := command.New(t.Context(), 2*time.Minute, os.Args[0], "-test.run=^TestSuite$/^"+strings.ReplaceAll(test.test, "/", "$/^")+"$")
			cmd.Env = append(os.Environ(), faultVariable+"="+test.fault)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the suite passed a driver with this fault: %v\n%s", err, out)
			}
			if !strings.Contains(string(out), test.message) {
				t.Errorf("the suite says nothing of %q:\n%s", test.message, out)
			}
		})
	}
}
