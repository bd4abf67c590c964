package checker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	testEpoch   = "01h4fcqp2a"
	testDomains = 3
	// testEvents is how many events each domain has.
	testEvents = 5
	// gapAt is the sequence of the event about the connection as a whole.
	gapAt = testDomains*testEvents + 1
)

func domain(i int) string { return fmt.Sprintf("6695eb01-f6a4-8304-79aa-%012d", i) }

// entry is a record of the topic that the tests read.
type entry struct {
	key, id                  string
	partition                int
	sequence, domainSequence int
	event                    string
	domainID                 int
}

// home is the partition of a key.
func home(key string) int { return int(key[len(key)-1]) % 2 }

// sound is a topic without a fault, in the order in which it is read.
func sound() []entry {
	var all []entry
	for n := range testDomains * testEvents {
		all = append(all, about(n%testDomains, n/testDomains+1, n+1))
	}
	gap := entry{key: "kvm01", id: testEpoch + "-gap", sequence: gapAt, partition: home("kvm01"), event: "disconnected"}
	return append(all, gap)
}

// about is event number n of a domain.
func about(i, n, sequence int) entry {
	return entry{
		key: domain(i), id: fmt.Sprintf("%s-%d", testEpoch, sequence), partition: home(domain(i)), sequence: sequence,
		domainSequence: n, event: "started", domainID: n,
	}
}

// line returns what a reader prints.
func (e entry) line(offset int, whole bool) string {
	attributes := map[string]string{
		"id": e.id, "source": "test://kvm01.example.com/default", "epoch": testEpoch, "partitionkey": e.key,
		"sequence": fmt.Sprintf("%020d", e.sequence),
	}
	payload := map[string]any{"event": e.event, "detail": "booted"}
	if e.domainSequence > 0 {
		attributes["subject"] = e.key
		attributes["domainsequence"] = fmt.Sprintf("%020d", e.domainSequence)
		payload["domain"] = map[string]any{"uuid": e.key, "name": "guest", "id": e.domainID}
	}
	headers, value := map[string]string{}, any(payload)
	if whole {
		headers["content-type"] = structured + "; charset=UTF-8"
		event := map[string]any{"data": payload}
		for name, v := range attributes {
			event[name] = v
		}
		value = event
	} else {
		for name, v := range attributes {
			headers["ce_"+name] = v
		}
	}
	text, err := json.Marshal(map[string]any{
		"key": e.key, "partition": e.partition, "offset": offset, "headers": headers, "value": value,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// judge gives a topic to a checker; told is set if the checker gets the sent events too.
func judge(t *testing.T, entries []entry, told, whole bool) Report {
	t.Helper()
	c := New(home)
	if told {
		for i := range testDomains {
			for n := range testEvents {
				c.Sent(domain(i), Event{"started", "booted", n + 1})
			}
		}
	}
	var lines []string
	for offset, e := range entries {
		lines = append(lines, e.line(offset, whole))
	}
	if err := c.ReadAll(strings.NewReader(strings.Join(lines, "\n") + "\n")); err != nil {
		t.Fatal(err)
	}
	return c.Report()
}

// Each planted fault is reported, as what it is and as nothing else.
func TestFaults(t *testing.T) {
	at := func(domain, n int) int { return (n-1)*testDomains + domain }
	tests := []struct {
		name  string
		plant func(e []entry) []entry
		want  Report
		// untold is what is found without knowing what was sent, if that differs.
		untold *Report
	}{
		{"none", func(e []entry) []entry { return e }, Report{}, nil},
		{
			"an event is lost",
			func(e []entry) []entry { return slices.Delete(e, at(1, 2), at(1, 2)+1) },
			Report{Lost: 1, Holes: 1},
			nil,
		},
		{
			"the last event of a domain is lost",
			func(e []entry) []entry { return slices.Delete(e, at(2, testEvents), at(2, testEvents)+1) },
			Report{Lost: 1, Holes: 1},
			&Report{Holes: 1},
		},
		{
			"the last events of all are lost",
			func(e []entry) []entry { return e[:at(0, testEvents)] },
			Report{Lost: testDomains},
			&Report{},
		},
		{
			"everything of a domain is lost",
			func(e []entry) []entry {
				return slices.DeleteFunc(e, func(e entry) bool { return e.key == domain(1) })
			},
			Report{Lost: testEvents, Holes: testEvents},
			&Report{Holes: testEvents},
		},
		{
			"an event about the connection is lost",
			func(e []entry) []entry {
				e[len(e)-1].sequence, e[len(e)-1].id = gapAt+1, "later"
				return e
			},
			Report{Holes: 1},
			nil,
		},
		{
			"an event is there twice",
			func(e []entry) []entry { return append(e, e[at(0, 2)]) },
			Report{Repeated: 1},
			nil,
		},
		{
			"an event about the connection is there twice",
			func(e []entry) []entry { return append(e, e[len(e)-1]) },
			Report{Repeated: 1},
			nil,
		},
		{
			"an event is there twice with different ids",
			func(e []entry) []entry {
				again := e[at(0, 2)]
				again.id = "other"
				return append(e, again)
			},
			Report{Clashing: 1},
			nil,
		},
		{
			"two events have one id",
			func(e []entry) []entry {
				e[at(0, 2)].id = e[at(0, 1)].id
				return e
			},
			Report{Clashing: 1},
			nil,
		},
		{
			"two events of a domain have one number",
			func(e []entry) []entry {
				e[at(0, 2)].domainSequence = 1
				return e
			},
			Report{Clashing: 1, Lost: 1},
			nil,
		},
		{
			"two events of a domain change places",
			func(e []entry) []entry {
				i, j := at(2, 3), at(2, 4)
				e[i], e[j] = e[j], e[i]
				return e
			},
			Report{Disordered: 1},
			nil,
		},
		{
			"an event comes late",
			func(e []entry) []entry {
				late := e[at(2, 1)]
				return append(slices.Delete(e, at(2, 1), at(2, 1)+1), late)
			},
			Report{Disordered: 1},
			nil,
		},
		{
			"an event is in the wrong partition",
			func(e []entry) []entry {
				e[at(1, 3)].partition ^= 1
				return e
			},
			Report{Misplaced: 1},
			nil,
		},
		{
			"a domain is in the wrong partition",
			func(e []entry) []entry {
				for n := range testEvents {
					e[at(1, n+1)].partition ^= 1
				}
				return e
			},
			Report{Misplaced: testEvents},
			nil,
		},
		{
			"the content is another one",
			func(e []entry) []entry {
				e[at(1, 3)].event = "stopped"
				return e
			},
			Report{Altered: 1},
			&Report{},
		},
		{
			"an event was never sent",
			func(e []entry) []entry { return append(e, about(0, testEvents+1, gapAt+1)) },
			Report{Foreign: 1},
			&Report{},
		},
		{
			"a domain was never sent",
			func(e []entry) []entry { return append(e, about(7, 1, gapAt+1)) },
			Report{Foreign: 1},
			&Report{},
		},
		{
			"a lost event is not made up for by one that was never sent",
			func(e []entry) []entry {
				e = append(e, about(0, testEvents+1, gapAt+1))
				return slices.Delete(e, at(0, 1), at(0, 1)+1)
			},
			Report{Lost: 1, Holes: 1, Foreign: 1},
			&Report{Lost: 1, Holes: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, told := range []bool{true, false} {
				want := tt.want
				if !told && tt.untold != nil {
					want = *tt.untold
				}
				for _, whole := range []bool{false, true} {
					got := judge(t, tt.plant(sound()), told, whole)
					ignore := cmpopts.IgnoreFields(Report{}, "Sent", "Read", "Streams", "Keys", "Partitions", "Sources", "Examples")
					if diff := cmp.Diff(want, got, ignore); diff != "" {
						t.Errorf("told %t, structured %t (-want +got):\n%s%v", told, whole, diff, got.Examples)
					}
					if faulty := !cmp.Equal(want, Report{}); (got.Err() != nil) != faulty || (len(got.Examples) > 0) != faulty {
						t.Errorf("told %t, structured %t: Err() = %v", told, whole, got.Err())
					}
				}
			}
		})
	}
}

// Without a func for the partitions, all records of a key belong in the partition of its
// first one.
func TestOnePartitionPerKey(t *testing.T) {
	c := New(nil)
	for n := range 3 {
		e := about(0, n+1, n+1)
		e.partition = 5 + n/2
		if err := c.Read([]byte(e.line(n, false))); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Report().Misplaced; got != 1 {
		t.Errorf("%d misplaced, want 1", got)
	}
}

// What cannot be judged is an error, not a fault that is counted.
func TestUnreadable(t *testing.T) {
	good := about(0, 1, 1).line(7, false)
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return strings.Replace(good, old, with, 1)
	}
	tests := []struct{ name, lines, want string }{
		{"no JSON", "Exception in thread main", "not a line of the reader"},
		{"offsets go back", good + "\n" + about(0, 2, 2).line(6, false), "line 2: offset 6 of partition 0 was read after offset 7"},
		{"the key is not the partitionkey", replace(`"key":"6`, `"key":"7`), "the record's key is"},
		{"the subject is another domain", replace(`"uuid":"6`, `"uuid":"7`), "the subject is"},
		{"no id", replace("ce_id", "ce_no"), "no id, source or epoch"},
		{"no sequence", replace("ce_sequence", "ce_no"), "sequence"},
		{"no domainsequence", replace("ce_domainsequence", "ce_no"), "domainsequence"},
		{"data is no object", replace(`"value":{`, `"value":[],"x":{`), "data"},
		{"damaged number", replace("00000000000000000001", "09000000000000000001"), "too many to be true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := New(nil).ReadAll(strings.NewReader(tt.lines))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that contains %q", err, tt.want)
			}
		})
	}
}
