package nats

import (
	"fmt"
	"strings"

	"github.com/virtcast/virtcast/internal/template"
	"github.com/virtcast/virtcast/schema"
)

// DefaultSubject is the subject template that is used where none is configured.
const DefaultSubject = "virt.{connection}.{uuid}.{kind}.{event}.{detail}"

// missing stands in a subject for a token that an event has no value for.
const missing = '_'

// The placeholders of a subject template, as indexes of placeholders.
const (
	connectionToken = iota
	uuidToken
	kindToken
	eventToken
	detailToken
)

var placeholders = []string{
	connectionToken: "connection", uuidToken: "uuid", kindToken: "kind", eventToken: "event", detailToken: "detail",
}

// subject is a parsed subject template.
type subject struct {
	parts []template.Part
	// pattern is the template with "*" for every token that holds a placeholder.
	pattern string
}

// parseSubject parses a template. The error is a lower-case phrase that says what is
// wrong.
func parseSubject(text string) (*subject, error) {
	parsed, err := template.Parse(text, placeholders...)
	if err != nil {
		return nil, err
	}
	tokens := strings.Split(text, ".")
	at := 0
	for i, token := range tokens {
		if token == "" {
			return nil, &template.Error{Text: text, At: at, Problem: "an empty token"}
		}
		if bad := strings.IndexAny(token, "*> \t\r\n"); bad >= 0 {
			return nil, &template.Error{Text: text, At: at + bad, Problem: "a wildcard or a space"}
		}
		at += len(token) + len(".")
		if strings.Contains(token, "{") {
			tokens[i] = "*"
		}
	}
	if tokens[0] == "*" || tokens[0][0] == '$' {
		return nil, fmt.Errorf("%q does not begin with a fixed word", text)
	}
	return &subject{parts: parsed.Parts(), pattern: strings.Join(tokens, ".")}, nil
}

// filter returns the subject that a stream made for this template listens on: the fixed
// tokens at the start, then ">". A template without placeholders is its own filter.
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
		switch p := &s.parts[i]; p.Name {
		case template.Literal:
			dst = append(dst, p.Text...)
		case connectionToken:
			dst = appendToken(dst, e.Connection.Name)
		case uuidToken:
			dst = appendObject(dst, &e.Object)
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

// appendObject appends an object's UUID, or the name of an object that has none.
func appendObject(dst []byte, o *schema.Object) []byte {
	switch {
	case o.IsConnection():
		return append(dst, missing)
	case o.Family == schema.FamilyNodeDevice:
		return appendToken(dst, o.Name)
	}
	return o.UUID.AppendText36(dst)
}

// appendToken appends a value as a subject token: "_" for an empty value, and for every
// byte that is a separator, a wildcard, a space or not printable ASCII.
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

// covers reports whether filter matches every subject that pattern matches. Both may hold
// "*" tokens and end in ">".
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
