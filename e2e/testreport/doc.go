// Testreport reads the output of go test -json and prints what go test prints without it,
// then the tests that were skipped with their reasons, and how many tests passed.
//
//	go test -json ./... | go run ./e2e/testreport [-log file]
//
// It exits with 1 if a test or a build failed and, where the environment says
// CI=true, if a test was skipped: nothing skips silently.
package main
