// Package peertext makes text that came from a peer fit for an error message: one line of
// bounded length, without control characters. A peer may send megabytes, line feeds that
// look like further log lines, or escape sequences that a terminal obeys.
package peertext
