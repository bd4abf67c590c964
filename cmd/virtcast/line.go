package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/virtcast/virtcast/schema"
)

// Colours of the terminal, by what an event means for its domain.
const (
	colourNone   = ""
	colourGood   = "\x1b[32m"
	colourPaused = "\x1b[33m"
	colourBad    = "\x1b[31m"
	colourOff    = "\x1b[36m"
	colourFaint  = "\x1b[2m"
	colourReset  = "\x1b[0m"
)

// lineWriter writes events as lines for people.
type lineWriter struct {
	out    io.Writer
	colour bool
	buf    []byte
}

// newLineWriter colours only what a terminal will show, and honours NO_COLOR.
func newLineWriter(out io.Writer) *lineWriter {
	f, isFile := out.(*os.File)
	colour := isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &lineWriter{out: out, colour: colour}
}

// write writes one line: local time, connection, domain, what happened, UUID and id.
func (w *lineWriter) write(e *schema.Event) error {
	w.buf = w.append(w.buf[:0], e)
	_, err := w.out.Write(w.buf)
	return err
}

func (w *lineWriter) append(dst []byte, e *schema.Event) []byte {
	dst = w.paint(dst, colourFaint, e.Received.Local().Format("15:04:05.000"))
	if e.Kind == schema.KindGap {
		return w.appendGap(dst, e)
	}
	_, event, detail := schema.SubjectTokens(e)
	what := e.Kind.String()
	if e.Kind == schema.KindLifecycle {
		what = strings.TrimSpace(event + " " + strings.TrimSuffix(detail, "_"))
	}
	dst = fmt.Appendf(dst, "  %-12s %-16s ", e.Connection.Name, printable(e.Object.Name))
	dst = w.paint(dst, colourOf(e), fmt.Sprintf("%-24s", what))
	return append(w.paint(dst, colourFaint, fmt.Sprintf(" %s %s", e.Object.UUID, e.ID())), '\n')
}

func (w *lineWriter) appendGap(dst []byte, e *schema.Event) []byte {
	what := "gap " + string(e.Gap.Reason)
	if !e.UnobservedSince.IsZero() {
		what += fmt.Sprintf(": not observed for %v", e.Gap.Until.Sub(e.UnobservedSince).Round(time.Millisecond))
	}
	if e.Gap.Lost > 0 {
		what += fmt.Sprintf(", %d lost", e.Gap.Lost)
	}
	dst = fmt.Appendf(dst, "  %-12s %-16s ", e.Connection.Name, "-")
	dst = w.paint(dst, colourBad, what)
	return append(w.paint(dst, colourFaint, " "+e.ID()), '\n')
}

func (w *lineWriter) paint(dst []byte, colour, text string) []byte {
	if !w.colour || colour == colourNone {
		return append(dst, text...)
	}
	return append(append(append(dst, colour...), text...), colourReset...)
}

// colourOf returns the colour of an event: good, paused, bad or off.
func colourOf(e *schema.Event) string {
	event, detail := schema.EventName(e.Kind, e.Observation.Event), schema.DetailName(e.Kind, e.Observation.Event, e.Detail)
	switch {
	case e.Kind != schema.KindLifecycle:
		return colourNone
	case event == "crashed", detail == "crashed", detail == "failed", detail == "ioerror":
		return colourBad
	case event == "started", event == "resumed":
		return colourGood
	case event == "suspended", event == "pmsuspended":
		return colourPaused
	case event == "stopped", event == "shutdown":
		return colourOff
	default:
		return colourNone
	}
}

// printable makes a name from a hypervisor safe for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// screen is the sink that writes lines for people.
type screen struct{ lines *lineWriter }

// Deliver implements bridge.Sink.
func (s *screen) Deliver(_ context.Context, events []schema.Event, outcome func(i int, err error)) error {
	for i := range events {
		if err := s.lines.write(&events[i]); err != nil {
			return err
		}
		outcome(i, nil)
	}
	return nil
}

// Close implements service.Sink.
func (s *screen) Close() error { return nil }
