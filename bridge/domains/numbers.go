package domains

// The lifecycle events, virDomainEventType.
const (
	eventDefined = iota
	eventUndefined
	eventStarted
	eventSuspended
	eventResumed
	eventStopped
	eventShutdown
	eventPMSuspended
	eventCrashed
)

// Reasons, of which each state has its own: virDomainRunningReason and so on.
const (
	runningBooted            int32 = 1
	runningMigrated          int32 = 2
	runningRestored          int32 = 3
	runningFromSnapshot      int32 = 4
	runningMigrationCanceled int32 = 6
	runningWakeup            int32 = 8
	runningPostcopy          int32 = 10
	runningPostcopyFailed    int32 = 11

	pausedMigration      int32 = 2
	pausedIOError        int32 = 5
	pausedWatchdog       int32 = 6
	pausedFromSnapshot   int32 = 7
	pausedPostcopy       int32 = 12
	pausedPostcopyFailed int32 = 13
	pausedAPIError       int32 = 14

	shutoffShutdown     int32 = 1
	shutoffDestroyed    int32 = 2
	shutoffCrashed      int32 = 3
	shutoffMigrated     int32 = 4
	shutoffSaved        int32 = 5
	shutoffFailed       int32 = 6
	shutoffFromSnapshot int32 = 7

	crashedPanicked int32 = 1
)
