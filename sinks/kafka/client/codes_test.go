package client

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The table agrees with franz-go's list of names. Each row has a reason, and a cure where
// only people can help.
func TestTable(t *testing.T) {
	renamed := map[string]string{"NOT_LEADER_FOR_PARTITION": "NOT_LEADER_OR_FOLLOWER"} // by Apache Kafka 2.6
	for _, c := range Codes() {
		r := table[c]
		if c != CodeNone {
			e := kerr.TypedErrorForCode(int16(c))
			name := e.Message
			if now, ok := renamed[name]; ok {
				name = now
			}
			if name != r.name || e.Code != int16(c) {
				t.Errorf("code %d is called %s, want %s", c, r.name, name)
			}
		}
		if r.why == "" || r.verdict == Operator && r.hint == "" && c != codeTopicExists {
			t.Errorf("%s: why %q, hint %q, want both", r.name, r.why, r.hint)
		}
	}
}
