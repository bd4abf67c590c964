package peertext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// mark ends a text that was cut.
const mark = "…"

// Line returns text as one line of at most limit bytes, and at least the mark "…". Runs
// of white space and control characters become one space, escape sequences vanish, and
// bytes that are not UTF-8 become "?". A text that is too long is cut and ends with the
// mark. What is done to a text depends on its first few kilobytes only.
func Line[T string | []byte](text T, limit int) string {
	// Shortening can take most of a text away, so more is read than is kept; but not all.
	head := string(text[:min(len(text), 4*limit)])
	line := clean(head)
	if len(line) <= limit && len(head) == len(text) {
		return line
	}
	end := min(len(line), max(0, limit-len(mark)))
	for end > 0 && end < len(line) && !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + mark
}

// clean returns text without what may not stand in one line.
func clean(text string) string {
	if isClean(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	space := false
	for i := 0; i < len(text); {
		if n := escapeSequence(text[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch {
		case r == utf8.RuneError && size == 1:
			r = '?'
		case !unicode.IsGraphic(r) || unicode.IsSpace(r):
			space = true
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

// isClean reports whether clean would return text as it is. It knows ASCII only.
func isClean(text string) bool {
	space := true // as if one had gone before: a leading one is not clean
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c > '~' || c == ' ' && space {
			return false
		}
		space = c == ' '
	}
	return !space || text == ""
}

// escapeSequence returns the length of the terminal's escape sequence that text begins
// with, or 0.
func escapeSequence(text string) int {
	if len(text) < 2 || text[0] != '\x1b' {
		return 0
	}
	if text[1] != '[' {
		return 2
	}
	for i := 2; i < len(text); i++ {
		if text[i] < ' ' || text[i] > '?' { // the final byte, or one that does not belong to it
			return i + 1
		}
	}
	return len(text)
}
