package schema

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStateIsInTheRecordOnly holds that a state is kept by the record and not told by the
// event.
func TestStateIsInTheRecordOnly(t *testing.T) {
	for name, state := range map[string]State{
		"running":   {Valid: true, Code: StateRunning, Reason: 1, Persistence: Persistent},
		"gone":      {Valid: true, Code: StateShutoff, Reason: 2, Persistence: NotPersistent, Gone: true},
		"unknown":   {Valid: true, Code: StateUnknown},
		"newer":     {Valid: true, Code: 1 << 30, Reason: -1 << 31, Persistence: Persistent},
		"no number": {Valid: true},
	} {
		t.Run(name, func(t *testing.T) {
			plain := lifecycleEvent(2, 0)
			want := plain
			want.State = state
			got, _, err := ParseRecord(AppendRecord(nil, &want, nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(string(AppendJSON(nil, &plain)), string(AppendJSON(nil, &want))); diff != "" {
				t.Errorf("event (-without state +with):\n%s", diff)
			}
		})
	}
}

func TestRecordWithABadState(t *testing.T) {
	event := lifecycleEvent(2, 0)
	event.State = State{Valid: true, Code: StateRunning}
	record := AppendRecord(nil, &event, nil)
	for n := range record {
		if _, _, err := ParseRecord(record[:n], nil); !errors.Is(err, ErrRecord) {
			t.Errorf("first %d of %d bytes: error %v, want ErrRecord", n, len(record), err)
		}
	}
	record[len(record)-2] = 3 // before the end
	if _, _, err := ParseRecord(record, nil); !errors.Is(err, ErrRecord) {
		t.Errorf("persistence 3: error %v, want ErrRecord", err)
	}
}

func TestRepeat(t *testing.T) {
	want := lifecycleEvent(2, 0)
	want.State = State{Valid: true, Code: StateRunning, Persistence: Persistent}
	record := AppendRepeat(nil, &want, "bus")
	got, sinks, err := ParseRecord(record, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bus"}, sinks); diff != "" {
		t.Errorf("sinks (-want +got):\n%s", diff)
	}
	if !RecordIsRepeat(record) {
		t.Error("a repeat is not known as one")
	}
	for name, b := range map[string][]byte{"first": AppendRecord(nil, &want, []string{"bus"}), "empty": nil, "one byte": {2}} {
		if RecordIsRepeat(b) {
			t.Errorf("%s: taken for a repeat", name)
		}
	}
}

func TestStateEventKeepsTheStamp(t *testing.T) {
	event := lifecycleEvent(3, 2)
	event.State = State{Valid: true, Code: StatePaused, Reason: 5}
	state := event.StateEvent()
	if got, want := state.Type(), "org.libvirt.domain.state.v1"; got != want {
		t.Errorf("type %q, want %q", got, want)
	}
	got, want := attributesOf(&state), attributesOf(&event)
	for _, name := range []string{"type", "dataschema", "detail"} {
		delete(got, name)
		delete(want, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-event +state):\n%s", diff)
	}
	if kind, found := ParseKind("state"); found {
		t.Errorf("ParseKind finds %v: nobody can register for states", kind)
	}
}

func TestDecodeRefusesStates(t *testing.T) {
	event := stateEvent(State{Valid: true, Code: StateRunning, Reason: 1})
	good := string(AppendJSON(nil, &event))
	for name, change := range map[string][2]string{
		"no number":          {`"stateCode":1,`, ``},
		"another name":       {`"state":"running"`, `"state":"paused"`},
		"another reason":     {`"reason":"booted"`, `"reason":"wakeup"`},
		"a number for a yes": {`"reasonCode":1`, `"reasonCode":1,"persistent":1`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: decodes", name)
		}
	}
	newer := strings.Replace(good, `"state":"running"`, `"state":"unknown"`, 1)
	if got, err := Decode([]byte(newer)); err != nil || got.State != event.State {
		t.Errorf("an older writer's name: %+v, %v", got.State, err)
	}
}
