package wire

// Procedures of the remote program (remote_procedure in remote_protocol.x).
const (
	ProcConnectOpen              int32 = 1
	ProcConnectClose             int32 = 2
	ProcConnectGetType           int32 = 3
	ProcConnectGetVersion        int32 = 4
	ProcConnectGetHostname       int32 = 59
	ProcConnectSupportsFeature   int32 = 60
	ProcAuthList                 int32 = 66
	ProcAuthSASLInit             int32 = 67
	ProcAuthSASLStart            int32 = 68
	ProcAuthSASLStep             int32 = 69
	ProcAuthPolkit               int32 = 70
	ProcConnectGetURI            int32 = 110
	ProcConnectGetLibVersion     int32 = 157
	ProcDomainGetState           int32 = 212
	ProcConnectListAllDomains    int32 = 273
	ProcDomainEventRegisterAny   int32 = 316
	ProcDomainEventDeregisterAny int32 = 317
	ProcDomainEventLifecycle     int32 = 318
	ProcConnectGetAllDomainStats int32 = 344
	ProcConnectRegisterClose     int32 = 360
	ProcConnectUnregisterClose   int32 = 361
	ProcConnectEventClosed       int32 = 362
	ProcDomainSuspend            int32 = 34
	ProcKeepalivePing            int32 = 1
	ProcKeepalivePong            int32 = 2
)

// OpenReadOnly is the flag of ProcConnectOpen (virConnectFlags) that forbids every
// change.
const OpenReadOnly uint32 = 1

// Features of ProcConnectSupportsFeature (virDrvFeature).
const (
	FeatureKeepalive           int32 = 10
	FeatureRemoteEventCallback int32 = 14
)

// Authentication types in the answer to ProcAuthList.
const (
	AuthNone   int32 = 0
	AuthSASL   int32 = 1
	AuthPolkit int32 = 2
)
