package bridge

// The keys of log attributes.
const (
	logSink    = "sink"
	logError   = "error"
	logPending = "pending"
	logOffset  = "offset"
	logFor     = "for"
)
