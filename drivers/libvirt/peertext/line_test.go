package peertext

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"as it is":        {"no domain 'a'", "no domain 'a'"},
		"empty":           {"", ""},
		"other scripts":   {"über 漢字", "über 漢字"},
		"lines":           {" one\r\n\n\ttwo \n", "one two"},
		"colours":         {"\x1b[1;31mred\x1b[0m \x1b[H\x1b[2Jx", "red x"},
		"other escapes":   {"\x1b]0;title\x07 a\x1bcb", "0;title ab"},
		"half an escape":  {"a\x1b[12", "a"},
		"an escape alone": {"a\x1b", "a"},
		"not UTF-8":       {"Zug\xe4nge\xff", "Zug?nge?"},
		"NUL and bidi":    {"a\x00b\u202ec", "a b c"},
		"just fits":       {strings.Repeat("x", 20), strings.Repeat("x", 20)},
		"one too long":    {strings.Repeat("x", 21), strings.Repeat("x", 17) + "…"},
		"cut in a rune":   {strings.Repeat("x", 16) + "漢漢漢", strings.Repeat("x", 16) + "…"},
		"much too long":   {strings.Repeat("\n", 1<<20) + "x", "…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Line(tt.text, 20); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := Line([]byte(tt.text), 20); got != tt.want {
				t.Errorf("of bytes: got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[1m\n\xff漢", 9)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 3 + (limit&0xff+0x100)%0x100
		got := Line(text, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%d bytes of at most %d: %q", len(got), limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Fatalf("%q is not one plain line", got)
		}
		if again := Line(got, limit); again != got {
			t.Fatalf("%q became %q, and then %q", text, got, again)
		}
	})
}
