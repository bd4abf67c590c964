package producer

import "testing"

// The vectors are those of UtilsTest.testMurmur2 of Apache Kafka's clients.
func TestMurmur2(t *testing.T) {
	for _, test := range []struct {
		key  string
		want int32
	}{
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	} {
		if got := int32(murmur2([]byte(test.key))); got != test.want {
			t.Errorf("murmur2(%q) = %d, want %d", test.key, got, test.want)
		}
	}
}
