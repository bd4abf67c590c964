package client

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verdict is what an error code means for a batch.
type Verdict uint8

const (
	// Operator means that the batch is not stored, or not known to be. Nothing but a
	// change of the cluster or of the configuration helps. The error is transient, and
	// names the cure.
	Operator Verdict = iota
	// Stored means that the batch is in the log.
	Stored
	// Retry means that the batch may be stored or not. The same bytes are sent again, to
	// the leader that fresh metadata name.
	Retry
	// Renew means that the broker does not accept this producer id and sequence. The
	// batch is sent again under a new id.
	Renew
	// Split means that the batch is not stored because of a record in it. The batch is
	// halved until the record is found, which can never be stored.
	Split
)

// Code is an error code of the Kafka protocol.
type Code int16

// row is what is known of a code.
type row struct {
	name    string
	verdict Verdict
	// why is the reason for the verdict. hint is what somebody can do about it.
	why, hint string
}

// Codes that are looked at by number.
const (
	CodeUnknown              Code = -1
	CodeNone                 Code = 0
	CodeCorrupt              Code = 2
	CodeUnknownTopic         Code = 3
	CodeLeaderNotAvailable   Code = 5
	CodeMessageTooLarge      Code = 10
	CodeRecordListTooLarge   Code = 18
	codeTopicAuthorization   Code = 29
	codeClusterAuthorization Code = 31
	codeIllegalSASL          Code = 34
	codeUnsupportedVersion   Code = 35
	codeTopicExists          Code = 36
	codeAuthenticationFailed Code = 58
)

// table sorts every code that may answer a produce request or its preparation. A code
// that is missing here has the verdict [Operator]: it stops the partition, loses nothing,
// and the error names its number.
var table = map[Code]row{
	CodeUnknown: {"UNKNOWN_SERVER_ERROR", Retry, "the broker failed and may have stored the batch", "look into the broker's log"},

	CodeNone: {"NONE", Stored, "all in-sync replicas have it", ""},
	46:       {"DUPLICATE_SEQUENCE_NUMBER", Stored, "it was stored by an earlier attempt, too long ago to know its offset", ""},

	3:   {"UNKNOWN_TOPIC_OR_PARTITION", Retry, "the broker does not know the topic, not yet or no longer", "create the topic, or add create: {partitions: 12}"},
	5:   {"LEADER_NOT_AVAILABLE", Retry, "an election is under way", ""},
	6:   {"NOT_LEADER_OR_FOLLOWER", Retry, "the leader has moved, possibly after storing the batch", ""},
	7:   {"REQUEST_TIMED_OUT", Retry, "stored by the leader, and not by all in-sync replicas in time", "check the replicas' health, or raise ack_timeout"},
	8:   {"BROKER_NOT_AVAILABLE", Retry, "the broker is starting or stopping", ""},
	9:   {"REPLICA_NOT_AVAILABLE", Retry, "the replica is moving", ""},
	13:  {"NETWORK_EXCEPTION", Retry, "the connection was lost", ""},
	14:  {"COORDINATOR_LOAD_IN_PROGRESS", Retry, "producer ids are not available yet", ""},
	15:  {"COORDINATOR_NOT_AVAILABLE", Retry, "producer ids are not available yet", ""},
	16:  {"NOT_COORDINATOR", Retry, "producer ids are given by another broker", ""},
	19:  {"NOT_ENOUGH_REPLICAS", Retry, "not stored: fewer replicas are in sync than min.insync.replicas", "start the missing brokers"},
	20:  {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retry, "stored, and then too few replicas were in sync", "start the missing brokers"},
	41:  {"NOT_CONTROLLER", Retry, "the controller has moved", ""},
	51:  {"CONCURRENT_TRANSACTIONS", Retry, "the producer id is busy", ""},
	56:  {"KAFKA_STORAGE_ERROR", Retry, "the leader's disk failed; another broker takes over", "check the disks of the brokers"},
	72:  {"LISTENER_NOT_FOUND", Retry, "the leader has no such listener yet", "give every broker the same listeners"},
	74:  {"FENCED_LEADER_EPOCH", Retry, "the metadata was old", ""},
	75:  {"UNKNOWN_LEADER_EPOCH", Retry, "the broker's metadata was old", ""},
	78:  {"OFFSET_NOT_AVAILABLE", Retry, "a new leader is catching up", ""},
	80:  {"PREFERRED_LEADER_NOT_AVAILABLE", Retry, "an election is under way", ""},
	89:  {"THROTTLING_QUOTA_EXCEEDED", Retry, "too many changes of the cluster at once", ""},
	100: {"UNKNOWN_TOPIC_ID", Retry, "the topic was deleted and created again", ""},
	103: {"INCONSISTENT_TOPIC_ID", Retry, "the topic was deleted and created again", ""},

	45: {"OUT_OF_ORDER_SEQUENCE_NUMBER", Renew, "the broker has lost, or never had, what the producer id sent before", ""},
	47: {"INVALID_PRODUCER_EPOCH", Renew, "the producer id was taken over", ""},
	48: {"INVALID_TXN_STATE", Renew, "the producer id is not as the broker has it", ""},
	49: {"INVALID_PRODUCER_ID_MAPPING", Renew, "the broker does not know the producer id", ""},
	59: {"UNKNOWN_PRODUCER_ID", Renew, "the broker has forgotten the producer id", ""},
	90: {"PRODUCER_FENCED", Renew, "the producer id was taken over", ""},

	2:  {"CORRUPT_MESSAGE", Retry, "damaged on its way, or not understood; the checksum is sound here", "look into the broker's log"},
	10: {"MESSAGE_TOO_LARGE", Split, "larger than max.message.bytes", ""},
	18: {"RECORD_LIST_TOO_LARGE", Split, "larger than a segment of the log", ""},
	32: {"INVALID_TIMESTAMP", Split, "a record's time is outside message.timestamp.before.max.ms and after.max.ms", ""},
	87: {"INVALID_RECORD", Split, "the broker refuses a record, as for a missing key in a compacted topic", ""},

	17: {"INVALID_TOPIC_EXCEPTION", Operator, "no topic may have this name", "correct topic"},
	21: {"INVALID_REQUIRED_ACKS", Operator, "the broker does not take acks=all", "look into the broker's log"},
	29: {"TOPIC_AUTHORIZATION_FAILED", Operator, "an access rule is missing", "allow this user Describe and Write on the topic"},
	31: {"CLUSTER_AUTHORIZATION_FAILED", Operator, "an access rule is missing", "allow this user IdempotentWrite on the cluster, or Write on a topic"},
	33: {"UNSUPPORTED_SASL_MECHANISM", Operator, "the listener does not offer it", "set sasl.mechanism to one that the listener offers"},
	34: {"ILLEGAL_SASL_STATE", Operator, "a login where there is none, or none where there must be one", "set sasl"},
	35: {"UNSUPPORTED_VERSION", Operator, "the broker is too old or too new", "use Apache Kafka 1.0 or later"},
	36: {"TOPIC_ALREADY_EXISTS", Operator, "somebody else has just made it", ""},
	37: {"INVALID_PARTITIONS", Operator, "the cluster does not allow so many partitions", "correct create.partitions"},
	38: {"INVALID_REPLICATION_FACTOR", Operator, "the cluster has fewer brokers than replicas are wanted", "lower create.replication, or start more brokers"},
	42: {"INVALID_REQUEST", Operator, "the broker did not understand the request", "look into the broker's log"},
	43: {"UNSUPPORTED_FOR_MESSAGE_FORMAT", Operator, "the topic has a message format from before Apache Kafka 0.11", "set the topic's message.format.version to 2.0 or later"},
	44: {"POLICY_VIOLATION", Operator, "a policy of the cluster forbids it", "correct create, or ask who runs the cluster"},
	53: {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Operator, "an access rule is missing", "allow this user to write"},
	58: {"SASL_AUTHENTICATION_FAILED", Operator, "the login was refused", "check sasl.username and sasl.password"},
	60: {"REASSIGNMENT_IN_PROGRESS", Retry, "partitions are moving", ""},
	62: {"DELEGATION_TOKEN_NOT_FOUND", Operator, "the login was refused", "check sasl.username and sasl.password"},
	65: {"DELEGATION_TOKEN_AUTHORIZATION_FAILED", Operator, "the login was refused", "check sasl.username and sasl.password"},
	66: {"DELEGATION_TOKEN_EXPIRED", Operator, "the login was refused", "get a new token"},
	76: {"UNSUPPORTED_COMPRESSION_TYPE", Operator, "the broker or the topic does not take this compression", "set compression: none, or another one"},
}

// Codes returns every code that is known, in the order of their numbers.
func Codes() []Code { return slices.Sorted(maps.Keys(table)) }

// lookup returns what is known of c.
func (c Code) lookup() row {
	if r, ok := table[c]; ok {
		return r
	}
	return row{name: fmt.Sprintf("error code %d", int16(c)), why: "not known to this version"}
}

// Name returns the name that Kafka gives to the code.
func (c Code) Name() string { return c.lookup().name }

// Verdict returns what the code means for a batch.
func (c Code) Verdict() Verdict { return c.lookup().verdict }

// CodeError is an error code with which a broker has answered.
type CodeError struct {
	Code Code
	// What was asked: "partition 3 of virt.events", "topic virt.events".
	What string
	// Message is the broker's own text, or "".
	Message string
}

// Error returns "what: NAME: why (message)".
func (e *CodeError) Error() string {
	r := e.Code.lookup()
	text := r.name + ": " + r.why
	if e.What != "" {
		text = e.What + ": " + text
	}
	if e.Message != "" && !strings.Contains(text, e.Message) {
		text += " (" + e.Message + ")"
	}
	return text
}

// isRetry reports whether err is a code that passes by itself.
func isRetry(err error) bool {
	var e *CodeError
	return errors.As(err, &e) && e.Code.Verdict() == Retry
}

// IsFatal reports whether err is a code that only an operator can cure.
func IsFatal(err error) bool {
	var e *CodeError
	return errors.As(err, &e) && e.Code.Verdict() == Operator
}
