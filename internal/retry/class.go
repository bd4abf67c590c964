package retry

import (
	"errors"
	"net"
	"regexp"
	"strings"
)

// maxClass bounds the text that a class is made of, in bytes.
const maxClass = 1024

// volatile are the parts of an error's text that differ from one attempt to the next, and
// say nothing about what went wrong. The order matters: an address is made of numbers.
var volatile = []*regexp.Regexp{
	regexp.MustCompile(`\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b`),     // UUID
	regexp.MustCompile(`\[[0-9a-fA-F]*:[0-9a-fA-F:.]*(?:%[0-9A-Za-z]+)?\]`),            // [IPv6]
	regexp.MustCompile(`(?:\b[0-9a-fA-F]{1,4})?(?::[0-9a-fA-F]{0,4}){2,7}(?:%\w+)?\b`), // IPv6
	regexp.MustCompile(`\b0x[0-9a-fA-F]+\b`),                                           // 0x1f
	regexp.MustCompile(`\b(?:[0-9]+(?:\.[0-9]+)?(?:ns|µs|us|ms|s|m|h))+`),              // 1m30s
	regexp.MustCompile(`[0-9]+(?:[.,:][0-9]+)*`),                                       // 4222, 10.0.0.1:4222
	regexp.MustCompile(`#(?::?#)+`),                                                    // #:#
}

// Class returns what two errors have in common that differ only in ports, addresses,
// names of hosts, ids or numbers: equal classes mean the same trouble. It is for
// comparison, not for people. It is "" for nil.
//
// An error that knows better has a method Class() string. The first error in err's tree
// whose Class is not empty decides alone.
func Class(err error) string {
	if err == nil {
		return ""
	}
	var own interface{ Class() string }
	if errors.As(err, &own) && own.Class() != "" {
		return own.Class()
	}
	text := withoutAddresses(err, err.Error())
	text = strings.ToValidUTF8(text[:min(len(text), maxClass)], "")
	for _, v := range volatile {
		text = v.ReplaceAllLiteralString(text, "#")
	}
	return text
}

// withoutAddresses returns text, in which err and what it wraps are quoted, without the
// addresses and names of hosts that the network errors among them name.
func withoutAddresses(err error, text string) string {
	switch e := err.(type) { //nolint:errorlint // walks the tree of errors itself
	case *net.OpError:
		inner := ""
		if e.Err != nil {
			inner = withoutAddresses(e.Err, e.Err.Error())
		}
		return replace(text, e.Error(), e.Op+" "+e.Net+": "+inner)
	case *net.DNSError:
		return replace(text, e.Error(), "lookup: "+e.Err)
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return withoutAddresses(inner, text)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			text = withoutAddresses(inner, text)
		}
	}
	return text
}

func replace(text, old, short string) string {
	if old == "" {
		return text
	}
	return strings.ReplaceAll(text, old, short)
}
