package bridge

// The keys of log attributes.
const (
	logSink    = "sink"
	logDomain  = "domain"
	logError   = "err"
	logPending = "pending"
	logOffset  = "offset"
	logFor     = "for"
)
