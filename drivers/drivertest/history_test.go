package drivertest

import (
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/virtcast/virtcast/drivers"
	"github.com/virtcast/virtcast/schema"
)

func appendHistory(t *testing.T, h *History, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := h.Append(HistoryEvent{Number: n, Domain: schema.UUID{byte(n%3 + 1)}, Event: 2, Detail: int32(n)}); err != nil {
			t.Fatal(err)
		}
	}
}

// watchHistory opens a session at a position, with everything watched.
func watchHistory(t *testing.T, h *History, p schema.Position) (drivers.Session, *handler) {
	t.Helper()
	got := newHandler(defaultPatience)
	s, err := h.Open(t.Context(), p, got.take)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		got.report(t)
	})
	if missing, err := s.Watch(t.Context(), []drivers.Filter{all}); err != nil || len(missing) > 0 {
		t.Fatal(missing, err)
	}
	return s, got
}

// TestHistoryResumes holds that a session delivers what follows its position, whole, and
// that it knows whether something was forgotten there.
func TestHistoryResumes(t *testing.T) {
	tests := []struct {
		name     string
		position string
		forget   uint64
		resumed  bool
		first    int32 // of what is delivered, of 1 to 20 at first and 21 to 30 later
	}{
		{"from now on", "", 1, false, 21},
		{"behind the position", "7", 1, true, 8},
		{"the position is the first that is left", "7", 7, true, 8},
		{"the next is the first that is left", "7", 8, true, 8},
		{"some were forgotten", "7", 15, false, 15},
		{"nothing was missed", "20", 1, true, 21},
		{"all were forgotten", "7", 21, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := &History{Path: filepath.Join(t.TempDir(), "history")}
			appendHistory(t, h, 1, 20)
			if err := h.Forget(test.forget); err != nil {
				t.Fatal(err)
			}
			var p schema.Position
			if test.position != "" {
				p = schema.Position(test.position)
			}
			s, got := watchHistory(t, h, p)
			if s.Resumed() != test.resumed {
				t.Errorf("resumed is %v", s.Resumed())
			}
			appendHistory(t, h, 21, 30)
			if test.first == 0 { // what comes next does not follow the position
				<-s.Done()
				if !errors.Is(s.Err(), ErrHistoryCut) {
					t.Errorf("the session ended with %v", s.Err())
				}
				return
			}
			for i, o := range got.wait(t, int(31-test.first)) {
				if want := test.first + int32(i); o.Detail != want {
					t.Fatalf("event %d came, want %d", o.Detail, want)
				}
			}
			if s.Sure().After(time.Now()) {
				t.Errorf("Sure is %v", s.Sure())
			}
		})
	}
}

// TestHistoryPositions holds that each position is that of the last event before it.
func TestHistoryPositions(t *testing.T) {
	h := &History{Path: filepath.Join(t.TempDir(), "history")}
	appendHistory(t, h, 1, 500)
	var last int32
	ended := make(chan struct{})
	s, err := h.Open(t.Context(), schema.Position("0"), func(b drivers.Batch) {
		for _, o := range b.Observations {
			last = o.Detail
		}
		if got := string(b.Position); got != strconv.Itoa(int(last)) {
			t.Errorf("the position behind event %d is %s", last, got)
		}
		if last == 500 {
			close(ended)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := s.Watch(t.Context(), []drivers.Filter{all}); err != nil {
		t.Fatal(err)
	}
	<-ended
}
