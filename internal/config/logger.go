package config

import (
	"io"
	"log/slog"
)

// Logger returns the program's logger. l has been validated.
func (l Log) Logger(out io.Writer) *slog.Logger {
	level, _ := l.level()
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}

// level translates the level, and reports whether it is a known one.
func (l Log) level() (level slog.Level, known bool) {
	switch l.Level {
	case "debug":
		return slog.LevelDebug, true
	case "", "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	default:
		return 0, false
	}
}
