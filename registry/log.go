package registry

// The keys of the log records.
const (
	keyConnection  = "connection"
	keyConnections = "connections"
	keyDuration    = "duration"
	keyError       = "err"
	keyFilters     = "filters"
	keyKind        = "kind"
	keyLost        = "lost"
	keyMissing     = "missing"
	keySince       = "unobserved_since"
	keySource      = "source"
	keyURI         = "uri"
)
