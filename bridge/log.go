package bridge

// The keys of log attributes.
const (
	logSink    = "sink"
	logError   = "err"
	logPending = "pending"
	logOffset  = "offset"
	logFor     = "for"
)
