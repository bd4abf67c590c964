package main

import (
	"io"
	"log/slog"
)

// newLogger returns the program's logger. The configuration has been validated.
func newLogger(c LogConfig, out io.Writer) *slog.Logger {
	level, _ := c.level()
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}
