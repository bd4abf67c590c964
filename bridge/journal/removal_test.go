package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// deadLetters returns the numbers and the data of the dead letters.
func deadLetters(t testing.TB, j *Journal) []string {
	t.Helper()
	got := []string{}
	if err := j.DeadLetters(func(d DeadLetter) bool {
		got = append(got, fmt.Sprintf("%d %s %s", d.ID, d.Data, d.Reason))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func mustBury(t testing.TB, j *Journal, data string) {
	t.Helper()
	if err := j.DeadLetter("r", Record{Offset: 1, Data: []byte(data)}, "why"); err != nil {
		t.Fatal(err)
	}
}

func TestRemoveDeadLetters(t *testing.T) {
	fs := newMemFS()
	j := mustOpen(t, "/j", Options{FS: fs})
	if err := j.RemoveDeadLetters([]uint64{1}); !errors.Is(err, ErrNoDeadLetter) {
		t.Errorf("remove from nothing: %v", err)
	}
	for _, data := range []string{"a", "b", "c", "d"} {
		mustBury(t, j, data)
	}
	if err := j.RemoveDeadLetters([]uint64{2, 5}); !errors.Is(err, ErrNoDeadLetter) {
		t.Errorf("remove one that is not there: %v", err)
	}
	if got := j.Stats().DeadLetters; got != 4 {
		t.Errorf("%d dead letters after a refusal, want 4", got)
	}
	// The number of the last one is not used again, whatever happens.
	steps := []struct {
		remove []uint64
		want   []string
	}{
		{[]uint64{2, 4, 2}, []string{"1 a why", "3 c why"}},
		{[]uint64{1}, []string{"3 c why"}},
		{nil, []string{"3 c why"}},
		{[]uint64{3}, []string{}},
	}
	for _, step := range steps {
		if err := j.RemoveDeadLetters(step.remove); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if diff := cmp.Diff(step.want, deadLetters(t, j)); diff != "" {
				t.Errorf("after removing %d (-want +got):\n%s", step.remove, diff)
			}
			if got := j.Stats().DeadLetters; got != uint64(len(step.want)) {
				t.Errorf("after removing %d: Stats has %d dead letters, want %d", step.remove, got, len(step.want))
			}
			mustClose(t, j)
			j = mustOpen(t, "/j", Options{FS: fs})
		}
	}
	mustBury(t, j, "e")
	if diff := cmp.Diff([]string{"5 e why"}, deadLetters(t, j)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	mustClose(t, j)
	if err := j.RemoveDeadLetters([]uint64{5}); !errors.Is(err, ErrClosed) {
		t.Errorf("remove from a closed journal: %v", err)
	}
}

// TestRemovalMakesRoom fills the area: a full one takes no dead letter, and loses none.
func TestRemovalMakesRoom(t *testing.T) {
	j := mustOpen(t, "/j", Options{FS: newMemFS(), MaxDeadLetterBytes: 1000})
	defer mustClose(t, j)
	n := uint64(0)
	for ; ; n++ {
		err := j.DeadLetter("r", Record{Data: []byte("x")}, "why")
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := j.Stats().DeadLetters; got != n || n < 5 {
		t.Fatalf("%d dead letters of %d that were taken", got, n)
	}
	if err := j.RemoveDeadLetters([]uint64{1, 2}); err != nil {
		t.Fatal(err)
	}
	mustBury(t, j, "y")
}

// TestRemovalFaults fails each operation of a removal in turn, then kills the process, or
// cuts the power, and looks: the dead letters that were not to be removed are there, and those
// that were, all or none; a dead letter that comes later gets a new number and is kept.
func TestRemovalFaults(t *testing.T) {
	before := []string{"1 a why", "2 b why", "3 c why"}
	after := []string{"1 a why", "3 c why"}
	for _, power := range []bool{false, true} {
		for fault := 0; ; fault++ {
			rng := rand.New(rand.NewPCG(1, uint64(fault)))
			fs := newMemFS()
			j := mustOpen(t, "/j", Options{FS: fs, inline: true}) // without a goroutine, since it is killed
			for _, data := range []string{"a", "b", "c"} {
				mustBury(t, j, data)
			}
			failed := false
			first := fs.ops
			fs.fail = func(n int, _, _ string) error {
				if n != first+fault {
					return nil
				}
				failed = true
				return errors.New("injected")
			}
			err := j.RemoveDeadLetters([]uint64{2})
			if failed != (err != nil) {
				t.Fatalf("fault %d: injected %v, error %v", fault, failed, err)
			}
			want := [][]string{before, after}
			if err == nil {
				want = want[1:]
			}
			late := rng.IntN(2) == 0
			if late {
				mustBury(t, j, "d")
				for i := range want {
					want[i] = append(slices.Clone(want[i]), "4 d why")
				}
			}
			var cut *rand.Rand
			if power {
				cut = rng
			}
			j = mustOpen(t, "/j", Options{FS: fs.crash(cut)})
			if got := deadLetters(t, j); !slices.ContainsFunc(want, func(w []string) bool { return slices.Equal(w, got) }) {
				t.Errorf("fault %d, power cut %v, late %v: dead letters %q, want one of %q", fault, power, late, got, want)
			}
			mustBury(t, j, "e")
			if got := deadLetters(t, j); got[len(got)-1][1:] != " e why" || got[len(got)-1] <= "3" {
				t.Errorf("fault %d: the dead letter after the crash is %q", fault, got[len(got)-1])
			}
			mustClose(t, j)
			if !failed {
				break
			}
		}
	}
}

func TestReadDeadLetters(t *testing.T) {
	dir := t.TempDir()
	read := func() (got []string, err error) {
		err = ReadDeadLetters(dir, func(d DeadLetter) bool {
			got = append(got, string(d.Data))
			return true
		})
		return got, err
	}
	if _, err := read(); !errors.Is(err, ErrNoJournal) {
		t.Errorf("an empty directory: %v", err)
	}
	j := mustOpen(t, dir, Options{})
	defer mustClose(t, j)
	if got, err := read(); err != nil || len(got) > 0 {
		t.Errorf("no dead letters: %q, %v", got, err)
	}
	mustBury(t, j, "a")
	mustBury(t, j, "b")
	if got, err := read(); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("while the journal is open: %q, %v", got, err)
	}
	if err := j.RemoveDeadLetters([]uint64{1}); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); err != nil || !slices.Equal(got, []string{"b"}) {
		t.Errorf("after a removal: %q, %v", got, err)
	}
	// A dead letter that is half written is not there yet.
	l := j.deadLetters
	if _, err := l.f.WriteAt([]byte("vcfr half"), l.size); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); err != nil || !slices.Equal(got, []string{"b"}) {
		t.Errorf("with half a dead letter: %q, %v", got, err)
	}
	if err := l.cut(); err != nil {
		t.Fatal(err)
	}
}
