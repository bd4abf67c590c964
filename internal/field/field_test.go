package field

import (
	"errors"
	"io"
	"testing"
)

func TestUnder(t *testing.T) {
	var f Faults
	f.Add("url", "write one", "missing")
	f.Add("", "", "empty")
	f.Add("[2].name", "", "%d is no name", 7)
	f.Join(io.EOF)
	got := Under("sinks[0].nats", f.Err())
	const want = "sinks[0].nats.url: missing; write one\nsinks[0].nats: empty\nsinks[0].nats[2].name: 7 is no name\nEOF"
	if got == nil || got.Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if !errors.Is(got, io.EOF) {
		t.Error("an error that is no fault of a field is gone")
	}
	if got := Under("", f.Err()); got.Error() != f.Err().Error() {
		t.Errorf("below nothing: got %v, want %v", got, f.Err())
	}
	if err := Under("a", nil); err != nil {
		t.Errorf("got %v for nil", err)
	}
}
