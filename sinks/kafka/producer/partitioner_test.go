package producer

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/virtcast/virtcast/e2e/lab"
)

// The partition of a key is the one that the official Java client chooses, so that a
// domain's events and what others write about it are side by side.
func TestPartitionOfJava(t *testing.T) {
	var keys []string
	for range 10_000 {
		var u [16]byte
		_, _ = rand.Read(u[:])
		keys = append(keys, fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
	}
	name := []rune(strings.Repeat("kvm-é~", 7))
	for i := range name { // names of connections, of every length
		keys = append(keys, string(name[:i+1]))
	}
	for _, partitions := range []int{1, 12, 997} {
		cmd := lab.Java(t, "Partitions", strconv.Itoa(partitions))
		cmd.Stdin = strings.NewReader(strings.Join(keys, "\n") + "\n")
		lines := strings.Fields(lab.Output(t, cmd))
		if len(lines) != len(keys) {
			t.Fatalf("%d partitions for %d keys", len(lines), len(keys))
		}
		different := 0
		for i, key := range keys {
			want, err := strconv.Atoi(lines[i])
			if err != nil {
				t.Fatal(err)
			}
			if got := PartitionOf([]byte(key), partitions); got != want {
				if different++; different <= 5 {
					t.Errorf("partition of %q among %d is %d, want %d", key, partitions, got, want)
				}
			}
		}
		t.Logf("%d of %d keys differ among %d partitions", different, len(keys), partitions)
	}
}
