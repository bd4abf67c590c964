package kafka

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/virtcast/virtcast/internal/template"
	"github.com/virtcast/virtcast/schema"
)

// DefaultTopic is the topic template that is used where none is configured.
const DefaultTopic = "virt.events"

// maxTopicName is the longest name of a topic, in bytes.
const maxTopicName = 249

// The placeholders of a topic template, by their index.
const (
	connectionPart = iota
	kindPart
)

// topicTemplate makes the topic of an event.
type topicTemplate struct{ *template.Template }

// parseTopic parses a template. The error is a lower-case phrase with what is wrong.
func parseTopic(text string) (topicTemplate, error) {
	t, err := template.Parse(text, "connection", "kind")
	if err != nil {
		return topicTemplate{}, err
	}
	for _, p := range t.Parts() {
		for i := range len(p.Text) {
			if p.Name == template.Literal && !isTopicByte(p.Text[i]) {
				return topicTemplate{}, fmt.Errorf("%q has a character that no topic may have: %q", text, p.Text[i])
			}
		}
	}
	switch {
	case text == "." || text == "..":
		return topicTemplate{}, fmt.Errorf("%q cannot be a topic's name", text)
	case len(text) > maxTopicName:
		return topicTemplate{}, fmt.Errorf("%q is longer than the %d characters of a topic's name", text, maxTopicName)
	}
	return topicTemplate{t}, nil
}

func isTopicByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// makes reports whether the topic of some event has this name.
func (t topicTemplate) makes(topic string) bool { return makes(t.Parts(), topic) }

func makes(parts []template.Part, topic string) bool {
	if len(parts) == 0 {
		return topic == ""
	}
	if parts[0].Name == template.Literal {
		rest, ok := strings.CutPrefix(topic, parts[0].Text)
		return ok && makes(parts[1:], rest)
	}
	for i := range len(topic) + 1 {
		if makes(parts[1:], topic[i:]) {
			return true
		}
	}
	return false
}

// appendTo appends the topic of an event: always a valid name.
func (t topicTemplate) appendTo(dst []byte, e *schema.Event) []byte {
	start := len(dst)
	dst = t.Append(dst, func(dst []byte, name int) []byte {
		if name == connectionPart {
			return appendName(dst, e.Connection.Name)
		}
		return appendName(dst, e.Kind.String())
	})
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

// pattern matches every topic that the template can make.
func (t topicTemplate) pattern() *regexp.Regexp {
	var b strings.Builder
	b.WriteByte('^')
	for _, p := range t.Parts() {
		if p.Name == template.Literal {
			b.WriteString(regexp.QuoteMeta(p.Text))
		} else {
			b.WriteString("[A-Za-z0-9._-]+")
		}
	}
	b.WriteByte('$')
	return regexp.MustCompile(b.String()) // Quoted literals and a fixed class always compile.
}
