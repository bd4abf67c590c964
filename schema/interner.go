package schema

// Interner lets records share connections, names, epochs and sets of sinks, so that
// reading a journal allocates next to nothing. It remembers a bounded number of each, and
// forgets all of them when there are more. A nil Interner shares nothing. An Interner is
// not safe for concurrent use: give each reader its own.
type Interner struct {
	limit       int
	texts       map[string]string
	sets        map[string][]string
	connections map[string]*Connection
}

// defaultInterned is how many of each are remembered by default.
const defaultInterned = 16384

// maxInterned is the longest encoded form that is remembered, in bytes. It keeps a few
// long names from holding much memory.
const maxInterned = 512

// NewInterner returns an interner that remembers at most limit connections, limit names
// and limit sets of sinks. 0 means 16384. It does not remember what takes more than 512
// bytes in a record.
func NewInterner(limit int) *Interner {
	if limit <= 0 {
		limit = defaultInterned
	}
	return &Interner{
		limit:       limit,
		texts:       make(map[string]string),
		sets:        make(map[string][]string),
		connections: make(map[string]*Connection),
	}
}

// text returns the string with these bytes.
func (in *Interner) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if in == nil {
		return string(b)
	}
	return intern(in.limit, in.texts, b, func(s string) string { return s })
}

// stringSet returns the strings whose encoded forms follow one another in b. It is never
// nil.
func (in *Interner) stringSet(b []byte) []string {
	if in == nil {
		return parseStrings(string(b))
	}
	return intern(in.limit, in.sets, b, parseStrings)
}

// connection returns the connection whose strings' encoded forms are b.
func (in *Interner) connection(b []byte) *Connection {
	if in == nil {
		return parseConnection(string(b))
	}
	return intern(in.limit, in.connections, b, parseConnection)
}

// intern returns the value remembered for b, or parses and remembers it.
func intern[V any](limit int, known map[string]V, b []byte, parse func(string) V) V {
	if v, ok := known[string(b)]; ok {
		return v
	}
	key := string(b)
	v := parse(key)
	if len(key) > maxInterned {
		return v
	}
	if len(known) >= limit {
		clear(known)
	}
	known[key] = v
	return v
}

func parseStrings(encoded string) []string {
	r := recordReader{rest: []byte(encoded)}
	set := []string{}
	for len(r.rest) > 0 {
		set = append(set, string(r.bytes()))
	}
	return set
}

func parseConnection(encoded string) *Connection {
	r := recordReader{rest: []byte(encoded)}
	return &Connection{
		Name:     string(r.bytes()),
		URI:      string(r.bytes()),
		Hostname: string(r.bytes()),
		Source:   string(r.bytes()),
	}
}
