package registry

// The keys of the log records.
const (
	keyConnection  = "connection"
	keyConnections = "connections"
	keyCallbacks   = "callbacks"
	keyDuration    = "duration"
	keyError       = "err"
	keyKind        = "kind"
	keyLost        = "lost"
	keySince       = "unobserved_since"
	keySource      = "source"
	keyURI         = "uri"
)
