package nats

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/virtcast/virtcast/schema"
)

// DefaultSubject is the subject template that is used where none is configured.
const DefaultSubject = "virt.{connection}.{uuid}.{kind}.{event}.{detail}"

// missing stands in a subject for a token that an event has no value for.
const missing = '_'

// placeholder is a value of an event that a subject template may name.
type placeholder uint8

const (
	literal placeholder = iota
	connectionToken
	uuidToken
	kindToken
	eventToken
	detailToken
)

// placeholderNames are the names of the placeholders, in the order of their values.
var placeholderNames = [...]string{"", "connection", "uuid", "kind", "event", "detail"}

// part is a piece of a subject template: a literal text or a placeholder.
type part struct {
	text  string
	value placeholder
}

// subject is a parsed subject template.
type subject struct {
	parts []part
	// pattern is the template with every token that holds a placeholder replaced by "*".
	pattern string
}

// parseSubject parses a template. The error is a lower-case phrase that says what is wrong.
func parseSubject(template string) (*subject, error) {
	var s subject
	for rest := template; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			s.parts = append(s.parts, part{text: rest})
			break
		}
		if rest[open] == '}' {
			return nil, fmt.Errorf("%q has a } without a {", template)
		}
		end := strings.IndexByte(rest[open:], '}')
		if end < 0 {
			return nil, fmt.Errorf("%q has a { without a }", template)
		}
		name := rest[open+1 : open+end]
		value := slices.Index(placeholderNames[1:], name) + 1
		if value == 0 {
			quoted := strconv.Quote(name)
			return nil, fmt.Errorf("{%s} is not a placeholder", quoted[1:len(quoted)-1])
		}
		if open > 0 {
			s.parts = append(s.parts, part{text: rest[:open]})
		}
		s.parts = append(s.parts, part{value: placeholder(value)})
		rest = rest[open+end+1:]
	}
	tokens := strings.Split(template, ".")
	for i, token := range tokens {
		switch {
		case token == "":
			return nil, fmt.Errorf("%q has an empty token", template)
		case strings.ContainsAny(token, "*> \t\r\n"):
			return nil, fmt.Errorf("%q has a wildcard or a space", template)
		case strings.Contains(token, "{"):
			tokens[i] = "*"
		}
	}
	if tokens[0] == "*" || tokens[0][0] == '$' {
		return nil, fmt.Errorf("%q does not begin with a fixed word", template)
	}
	s.pattern = strings.Join(tokens, ".")
	return &s, nil
}

// filter returns the widest subject that a stream made for this template listens on:
// the fixed tokens at the start, then ">". A template without placeholders is its own filter.
func (s *subject) filter() string {
	fixed, _, found := strings.Cut(s.pattern, ".*")
	if !found {
		return s.pattern
	}
	return fixed + ".>"
}

// appendTo appends the subject of an event. Every value becomes exactly one valid token,
// or a part of one.
func (s *subject) appendTo(dst []byte, e *schema.Event) []byte {
	kind, event, detail := schema.SubjectTokens(e)
	for i := range s.parts {
		switch p := &s.parts[i]; p.value {
		case literal:
			dst = append(dst, p.text...)
		case connectionToken:
			dst = appendToken(dst, e.Connection.Name)
		case uuidToken:
			if e.Object.UUID.IsZero() {
				dst = append(dst, missing)
			} else {
				dst = e.Object.UUID.AppendText36(dst)
			}
		case kindToken:
			dst = appendToken(dst, kind)
		case eventToken:
			dst = appendToken(dst, event)
		case detailToken:
			dst = appendToken(dst, detail)
		}
	}
	return dst
}

// appendToken appends a value as a subject token: "_" for an empty value and for
// every byte that is a separator, a wildcard, a space or not printable ASCII.
func appendToken(dst []byte, value string) []byte {
	if value == "" {
		return append(dst, missing)
	}
	for i := range len(value) {
		c := value[i]
		if c <= ' ' || c >= 0x7f || c == '.' || c == '*' || c == '>' {
			c = missing
		}
		dst = append(dst, c)
	}
	return dst
}

// covers reports whether every subject that pattern matches is matched by filter, too.
// Both may hold "*" tokens and end in ">".
func covers(filter, pattern string) bool {
	for {
		f, filterRest, filterMore := strings.Cut(filter, ".")
		p, patternRest, patternMore := strings.Cut(pattern, ".")
		switch {
		case f == ">":
			return true
		case p == ">", f != "*" && f != p, filterMore != patternMore:
			// A filter that goes on with ">" where the pattern ends wants one more token.
			return false
		case !filterMore:
			return true
		}
		filter, pattern = filterRest, patternRest
	}
}
