// Package drivertest is the conformance suite that every driver passes: it holds a driver
// to the numbered list of package drivers, against a hypervisor that its author brings
// along. A driver's own test is a few lines:
//
//	func TestConformance(t *testing.T) {
//		drivertest.Run(t, drivertest.Harness{New: newHypervisor, Silence: time.Second})
//	}
//
// A test of the suite must not be run in parallel with others: it looks for goroutines
// that are left.
package drivertest
