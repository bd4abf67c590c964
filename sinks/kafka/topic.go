package kafka

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/virtcast/virtcast/schema"
)

// DefaultTopic is the topic template that is used where none is configured.
const DefaultTopic = "virt.events"

// maxTopicName is the longest name of a topic, in bytes.
const maxTopicName = 249

// placeholder is a value of an event that a topic template may name.
type placeholder uint8

const (
	literal placeholder = iota
	connectionPart
	kindPart
)

// part is a piece of a topic template: a literal text or a placeholder.
type part struct {
	text  string
	value placeholder
}

// template is a parsed topic template.
type template []part

// parseTopic parses a template. The error is a lower-case phrase that says what is wrong.
func parseTopic(text string) (template, error) {
	var t template
	for rest := text; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			t = append(t, part{text: rest})
			break
		}
		if rest[open] == '}' {
			return nil, fmt.Errorf("%q has a } without a {", text)
		}
		end := strings.IndexByte(rest[open:], '}')
		if end < 0 {
			return nil, fmt.Errorf("%q has a { without a }", text)
		}
		p := part{}
		switch name := rest[open+1 : open+end]; name {
		case "connection":
			p.value = connectionPart
		case "kind":
			p.value = kindPart
		default:
			quoted := strconv.Quote(name) // It may hold anything.
			return nil, fmt.Errorf("{%s} is not a placeholder", quoted[1:len(quoted)-1])
		}
		if open > 0 {
			t = append(t, part{text: rest[:open]})
		}
		t = append(t, p)
		rest = rest[open+end+1:]
	}
	for _, p := range t {
		for i := range len(p.text) {
			if !isTopicByte(p.text[i]) {
				return nil, fmt.Errorf("%q has a character that no topic may have: %q", text, p.text[i])
			}
		}
	}
	switch {
	case text == "." || text == "..":
		return nil, fmt.Errorf("%q cannot be a topic's name", text)
	case len(text) > maxTopicName:
		return nil, fmt.Errorf("%q is longer than the %d characters of a topic's name", text, maxTopicName)
	}
	return t, nil
}

func isTopicByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// fixed returns the topic's name if it is the same for every event.
func (t template) fixed() (name string, ok bool) {
	if len(t) == 1 && t[0].value == literal {
		return t[0].text, true
	}
	return "", false
}

// makes reports whether that is the topic of some event.
func (t template) makes(topic string) bool {
	if len(t) == 0 {
		return topic == ""
	}
	if t[0].value == literal {
		rest, ok := strings.CutPrefix(topic, t[0].text)
		return ok && t[1:].makes(rest)
	}
	for i := range len(topic) + 1 {
		if t[1:].makes(topic[i:]) {
			return true
		}
	}
	return false
}

// appendTo appends the topic of an event: always a valid name.
func (t template) appendTo(dst []byte, e *schema.Event) []byte {
	start := len(dst)
	for i := range t {
		switch t[i].value {
		case literal:
			dst = append(dst, t[i].text...)
		case connectionPart:
			dst = appendName(dst, e.Connection.Name)
		case kindPart:
			dst = appendName(dst, e.Kind.String())
		}
	}
	dst = dst[:min(len(dst), start+maxTopicName)]
	switch string(dst[start:]) {
	case "", ".", "..":
		dst = append(dst[:start], '_')
	}
	return dst
}

// appendName appends a value with an underscore for every byte that no topic may have.
func appendName(dst []byte, value string) []byte {
	for i := range len(value) {
		c := value[i]
		if !isTopicByte(c) {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}

// String returns the template as it is written.
func (t template) String() string {
	var b strings.Builder
	for _, p := range t {
		switch p.value {
		case literal:
			b.WriteString(p.text)
		case connectionPart:
			b.WriteString("{connection}")
		case kindPart:
			b.WriteString("{kind}")
		}
	}
	return b.String()
}

// pattern matches every topic that the template can make.
func (t template) pattern() *regexp.Regexp {
	var b strings.Builder
	b.WriteByte('^')
	for _, p := range t {
		if p.value == literal {
			b.WriteString(regexp.QuoteMeta(p.text))
		} else {
			b.WriteString("[A-Za-z0-9._-]+")
		}
	}
	b.WriteByte('$')
	return regexp.MustCompile(b.String()) // quoted literals and a fixed class: it always compiles
}
