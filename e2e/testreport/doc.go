// Testreport reads the output of go test -json while the tests run, and reports on them.
//
//	go test -json ./... | go run ./e2e/testreport [-log file]
//
// It prints the line of each package when the package ends, with the time and the numbers
// of tests that passed, failed and were skipped. It prints the output of a test only if
// the test fails. Once a minute it names the packages and tests that have been running
// for more than a minute. At the end come the totals, the skipped tests with their
// reasons, and the failures.
//
// It exits with 1 if a test or a build failed and, where the environment has CI=true, if
// a test was skipped: nothing skips silently. Tests that make quick leaves out are
// counted in one line instead.
package main
