package e2e

import (
	"fmt"
	"strconv"
	"testing"
)

// checkPromises checks the promises for every stream: ids that occur once, sequences
// without holes, and attributes that agree with each other.
func checkPromises(t *testing.T, messages []message) {
	t.Helper()
	ids, msgIDs := map[string]bool{}, map[string]bool{}
	sequence, domainSequence := map[string]uint64{}, map[string]uint64{}
	for _, m := range messages {
		if id := m.Source() + " " + m.ID(); ids[id] {
			t.Errorf("id %s occurs twice", id)
		} else {
			ids[id] = true
		}
		if m.msgID == "" || msgIDs[m.msgID] {
			t.Errorf("event %s: Nats-Msg-Id %q is empty or occurs twice", m.ID(), m.msgID)
		}
		msgIDs[m.msgID] = true
		follows(t, m, "sequence", sequence, m.Source())
		if m.Subject() == "" {
			continue
		}
		follows(t, m, "domainsequence", domainSequence, m.Source()+" "+m.Subject())
		if got, want := extension(m, "partitionkey"), m.Subject(); got != want {
			t.Errorf("event %s: got partitionkey %q, want %q", m.ID(), got, want)
		}
		want := fmt.Sprintf("virt.%s.%s.lifecycle.%s.%s", extension(m, "connection"), m.Subject(), m.what, m.detail)
		if m.subject != want {
			t.Errorf("event %s: got NATS subject %q, want %q", m.ID(), m.subject, want)
		}
		if got, want := m.Type(), "org.libvirt.domain.lifecycle."+m.what+".v1"; got != want {
			t.Errorf("event %s: got type %q, want %q", m.ID(), got, want)
		}
	}
}

// follows checks that a sequence of 20 digits, if the attribute is one, counts from 1
// within its key without holes.
func follows(t *testing.T, m message, attribute string, last map[string]uint64, key string) {
	t.Helper()
	text := extension(m, attribute)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Errorf("event %s: %s: %v", m.ID(), attribute, err)
		return
	}
	if want := last[key] + 1; n != want {
		t.Errorf("event %s: got %s %d, want %d", m.ID(), attribute, n, want)
	}
	last[key] = n
}

func extension(m message, name string) string {
	value, ok := m.Extensions()[name]
	if !ok {
		return ""
	}
	return fmt.Sprint(value)
}
