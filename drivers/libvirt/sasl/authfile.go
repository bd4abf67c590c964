package sasl

import (
	"errors"
	"fmt"
	"strings"
)

// maxFile is the size in bytes up to which libvirt reads an authentication file.
const maxFile = 1 << 20

// File is a parsed authentication file.
type File struct {
	path   string
	groups map[string]map[string]string
}

// ErrSyntax is returned, wrapped with file and line, for a file that libvirt would
// refuse.
var ErrSyntax = errors.New("malformed authentication file")

// parser walks a file byte by byte, in libvirt's grammar (src/util/virkeyfile.c): groups
// "[name]", entries "key=value" with letters and digits in the key and everything up to
// the end of the line in the value, comments that begin a line with # or ;, and blank
// lines. Space is not trimmed.
type parser struct {
	path  string
	data  string
	pos   int
	file  *File
	group map[string]string
}

// ParseFile parses an authentication file. path is for messages only. The error wraps
// [ErrSyntax], and names the line. Unknown groups and keys are kept and ignored, since
// other services share the file.
func ParseFile(path string, data []byte) (*File, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrSyntax, path, maxFile)
	}
	p := parser{path: path, data: string(data), file: &File{path: path, groups: map[string]map[string]string{}}}
	for p.pos < len(p.data) {
		if err := p.statement(); err != nil {
			return nil, err
		}
	}
	return p.file, nil
}

func (p *parser) fail(at int, problem string) error {
	line := 1 + strings.Count(p.data[:at], "\n")
	return fmt.Errorf("%w: %s:%d: %s", ErrSyntax, p.path, line, problem)
}

func (p *parser) statement() error {
	switch c := p.data[p.pos]; {
	case c == '[':
		return p.groupName()
	case isAlphanumeric(c):
		return p.entry()
	case c == '#', c == ';':
		p.restOfLine()
		return nil
	case c == ' ', c == '\t', c == '\n', c == '\r':
		return p.blank()
	default:
		return p.fail(p.pos, "a line begins with '[', a key, '#' or ';'")
	}
}

func (p *parser) groupName() error {
	start := p.pos
	length := strings.IndexFunc(p.data[start+1:], func(r rune) bool { return r == ']' || r > 127 })
	if length < 0 || p.data[start+1+length] != ']' {
		return p.fail(start, "the group's name has no closing ']' (and must be ASCII)")
	}
	name := p.data[start+1 : start+1+length]
	if _, ok := p.file.groups[name]; ok {
		return p.fail(start, fmt.Sprintf("group %q is there twice", name))
	}
	p.group = map[string]string{}
	p.file.groups[name] = p.group
	p.pos = start + 1 + length + 1
	return nil
}

func (p *parser) entry() error {
	start := p.pos
	if p.group == nil {
		return p.fail(start, "a key stands before the first group; begin with [credentials-NAME]")
	}
	for p.pos < len(p.data) && isAlphanumeric(p.data[p.pos]) {
		p.pos++
	}
	key := p.data[start:p.pos]
	if p.pos == len(p.data) || p.data[p.pos] != '=' {
		return p.fail(start, fmt.Sprintf("'=' must follow key %q at once, without a space", key))
	}
	p.pos++
	value := p.restOfLine()
	if _, ok := p.group[key]; ok {
		return p.fail(start, fmt.Sprintf("key %q is there twice in its group", key))
	}
	p.group[key] = value
	return nil
}

func (p *parser) blank() error {
	start := p.pos
	if strings.TrimLeft(p.restOfLine(), " \t") != "" {
		return p.fail(start, "space at the beginning of a line or after ']' is allowed only on an otherwise empty line")
	}
	return nil
}

// restOfLine consumes the line and its end, and returns it without.
func (p *parser) restOfLine() string {
	rest := p.data[p.pos:]
	end := strings.IndexAny(rest, "\r\n")
	if end < 0 {
		p.pos = len(p.data)
		return rest
	}
	p.pos += end + 1
	return rest[:end]
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Lookup returns the login for a service on a host: the group [auth-SERVICE-HOST], else
// [auth-SERVICE-default], names by credentials= the group [credentials-NAME]. An empty
// host is localhost. The error wraps [ErrNoCredentials] when neither group is there,
// [ErrSyntax] when the groups do not fit together.
func (f *File) Lookup(service, host string) (Credentials, error) {
	if host == "" {
		host = "localhost"
	}
	authGroup := "auth-" + service + "-" + host
	auth, ok := f.groups[authGroup]
	if !ok {
		authGroup = "auth-" + service + "-default"
		auth, ok = f.groups[authGroup]
	}
	if !ok {
		return Credentials{}, fmt.Errorf("%w: %s has neither group [auth-%s-%s] nor [%s]; add one", ErrNoCredentials, f.path, service, host, authGroup)
	}
	name, ok := auth["credentials"]
	if !ok {
		return Credentials{}, fmt.Errorf("%w: %s: group [%s] has no credentials=", ErrSyntax, f.path, authGroup)
	}
	group, ok := f.groups["credentials-"+name]
	if !ok {
		return Credentials{}, fmt.Errorf("%w: %s: group [%s] names group [credentials-%s], which is missing", ErrSyntax, f.path, authGroup, name)
	}
	creds := Credentials{Username: group["authname"], Password: group["password"], AuthorizeAs: group["username"], Source: f.path}
	if creds.Username == "" || creds.Username == creds.AuthorizeAs {
		creds.Username, creds.AuthorizeAs = group["username"], ""
	}
	if creds.Username == "" {
		return Credentials{}, fmt.Errorf("%w: %s: group [credentials-%s] has neither username= nor authname=", ErrNoCredentials, f.path, name)
	}
	return creds, nil
}
