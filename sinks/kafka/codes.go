package kafka

import (
	"fmt"
	"strings"
)

// verdict is what an error code says about a batch.
type verdict uint8

const (
	// operator: not stored, or not known to be; nothing but a change of the cluster or of the
	// configuration helps. Deliver returns the error, which is transient, and its cure.
	operator verdict = iota
	// stored: the batch is in the log.
	stored
	// retry: stored or not; the same bytes are sent again, to the leader that fresh metadata names.
	retry
	// renew: the broker does not accept this producer id and sequence (any more); the
	// batch is sent again under a new id.
	renew
	// split: not stored, because of what is in it; it is halved until the record is found, and that
	// is permanent.
	split
)

// code is an error code of the Kafka protocol.
type code int16

// row is what is known of a code.
type row struct {
	name    string
	verdict verdict
	// why is the reason for the verdict; hint, where somebody can do something, says what.
	why, hint string
}

// Codes that are looked at by number.
const (
	codeUnknown              code = -1
	codeNone                 code = 0
	codeUnknownTopic         code = 3
	codeCorrupt              code = 2
	codeLeaderNotAvailable   code = 5
	codeMessageTooLarge      code = 10
	codeRecordListTooLarge   code = 18
	codeTopicAuthorization   code = 29
	codeClusterAuthorization code = 31
	codeUnsupportedMechanism code = 33
	codeIllegalSASL          code = 34
	codeUnsupportedVersion   code = 35
	codeTopicExists          code = 36
	codeInvalidPartitions    code = 37
	codeInvalidReplication   code = 38
	codePolicyViolation      code = 44
	codeAuthenticationFailed code = 58
)

// table sorts every code that a produce request or its preparation may be answered with. A code that is not in it has
// the verdict operator: it stops the sink, loses nothing, and names its number.
var table = map[code]row{
	codeUnknown: {"UNKNOWN_SERVER_ERROR", retry, "the broker failed and may have stored the batch", "look into the broker's log"},

	codeNone: {"NONE", stored, "all in-sync replicas have it", ""},
	46:       {"DUPLICATE_SEQUENCE_NUMBER", stored, "it was stored by an earlier attempt, too long ago to know its offset", ""},

	3:   {"UNKNOWN_TOPIC_OR_PARTITION", retry, "the broker has not heard of the topic yet, or not any more", "create the topic, or add create: {partitions: 12}"},
	5:   {"LEADER_NOT_AVAILABLE", retry, "an election is under way", ""},
	6:   {"NOT_LEADER_OR_FOLLOWER", retry, "the leader has moved, possibly after storing the batch", ""},
	7:   {"REQUEST_TIMED_OUT", retry, "stored by the leader, and not by all in-sync replicas in time", "check the replicas' health, or raise ack_timeout"},
	8:   {"BROKER_NOT_AVAILABLE", retry, "the broker is starting or stopping", ""},
	9:   {"REPLICA_NOT_AVAILABLE", retry, "the replica is moving", ""},
	13:  {"NETWORK_EXCEPTION", retry, "the connection was lost", ""},
	14:  {"COORDINATOR_LOAD_IN_PROGRESS", retry, "producer ids are not available yet", ""},
	15:  {"COORDINATOR_NOT_AVAILABLE", retry, "producer ids are not available yet", ""},
	16:  {"NOT_COORDINATOR", retry, "producer ids are given by another broker", ""},
	19:  {"NOT_ENOUGH_REPLICAS", retry, "not stored: fewer replicas are in sync than min.insync.replicas", "start the missing brokers"},
	20:  {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", retry, "stored, and then too few replicas were in sync", "start the missing brokers"},
	41:  {"NOT_CONTROLLER", retry, "the controller has moved", ""},
	51:  {"CONCURRENT_TRANSACTIONS", retry, "the producer id is busy", ""},
	56:  {"KAFKA_STORAGE_ERROR", retry, "the leader's disk failed; another broker takes over", "check the disks of the brokers"},
	72:  {"LISTENER_NOT_FOUND", retry, "the leader has no such listener yet", "give every broker the same listeners"},
	74:  {"FENCED_LEADER_EPOCH", retry, "the metadata was old", ""},
	75:  {"UNKNOWN_LEADER_EPOCH", retry, "the broker's metadata was old", ""},
	78:  {"OFFSET_NOT_AVAILABLE", retry, "a new leader is catching up", ""},
	80:  {"PREFERRED_LEADER_NOT_AVAILABLE", retry, "an election is under way", ""},
	89:  {"THROTTLING_QUOTA_EXCEEDED", retry, "too many changes of the cluster at once", ""},
	100: {"UNKNOWN_TOPIC_ID", retry, "the topic was made anew", ""},
	103: {"INCONSISTENT_TOPIC_ID", retry, "the topic was made anew", ""},

	45: {"OUT_OF_ORDER_SEQUENCE_NUMBER", renew, "the broker has lost, or never had, what the producer id sent before", ""},
	47: {"INVALID_PRODUCER_EPOCH", renew, "the producer id was taken over", ""},
	48: {"INVALID_TXN_STATE", renew, "the producer id is not as the broker has it", ""},
	49: {"INVALID_PRODUCER_ID_MAPPING", renew, "the broker does not know the producer id", ""},
	59: {"UNKNOWN_PRODUCER_ID", renew, "the broker has forgotten the producer id", ""},
	90: {"PRODUCER_FENCED", renew, "the producer id was taken over", ""},

	2:  {"CORRUPT_MESSAGE", retry, "damaged on its way, or not understood; the checksum is sound here", "look into the broker's log"},
	10: {"MESSAGE_TOO_LARGE", split, "larger than max.message.bytes", ""},
	18: {"RECORD_LIST_TOO_LARGE", split, "larger than a segment of the log", ""},
	32: {"INVALID_TIMESTAMP", split, "a record's time is outside message.timestamp.before.max.ms and after.max.ms", ""},
	87: {"INVALID_RECORD", split, "the broker refuses a record, as for a missing key in a compacted topic", ""},

	17: {"INVALID_TOPIC_EXCEPTION", operator, "no topic may have this name", "correct topic"},
	21: {"INVALID_REQUIRED_ACKS", operator, "the broker does not take acks=all", "look into the broker's log"},
	29: {"TOPIC_AUTHORIZATION_FAILED", operator, "an access rule is missing", "allow this user Describe and Write on the topic"},
	31: {"CLUSTER_AUTHORIZATION_FAILED", operator, "an access rule is missing", "allow this user IdempotentWrite on the cluster, or Write on a topic"},
	33: {"UNSUPPORTED_SASL_MECHANISM", operator, "the listener does not offer it", "set sasl.mechanism to one that the listener offers"},
	34: {"ILLEGAL_SASL_STATE", operator, "a login where there is none, or none where there must be one", "set sasl"},
	35: {"UNSUPPORTED_VERSION", operator, "the broker is too old or too new", "use Apache Kafka 1.0 or later"},
	36: {"TOPIC_ALREADY_EXISTS", operator, "somebody else has just made it", ""},
	37: {"INVALID_PARTITIONS", operator, "the cluster does not allow so many partitions", "correct create.partitions"},
	38: {"INVALID_REPLICATION_FACTOR", operator, "the cluster has fewer brokers than replicas are wanted", "lower create.replication, or start more brokers"},
	42: {"INVALID_REQUEST", operator, "the broker did not understand the request", "look into the broker's log"},
	43: {"UNSUPPORTED_FOR_MESSAGE_FORMAT", operator, "the topic has a message format from before Apache Kafka 0.11", "set the topic's message.format.version to 2.0 or later"},
	44: {"POLICY_VIOLATION", operator, "a policy of the cluster forbids it", "correct create, or ask who runs the cluster"},
	53: {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", operator, "an access rule is missing", "allow this user to write"},
	58: {"SASL_AUTHENTICATION_FAILED", operator, "the login was refused", "check sasl.username and sasl.password"},
	60: {"REASSIGNMENT_IN_PROGRESS", retry, "partitions are moving", ""},
	62: {"DELEGATION_TOKEN_NOT_FOUND", operator, "the login was refused", "check sasl.username and sasl.password"},
	65: {"DELEGATION_TOKEN_AUTHORIZATION_FAILED", operator, "the login was refused", "check sasl.username and sasl.password"},
	66: {"DELEGATION_TOKEN_EXPIRED", operator, "the login was refused", "get a new token"},
	76: {"UNSUPPORTED_COMPRESSION_TYPE", operator, "the broker or the topic does not take this compression", "set compression: none, or another one"},
}

// lookup returns what is known of c.
func (c code) lookup() row {
	if r, ok := table[c]; ok {
		return r
	}
	return row{name: fmt.Sprintf("error code %d", int16(c)), why: "not known to this version"}
}

// codeError is an error code with which a broker has answered.
type codeError struct {
	code code
	// what was asked: "partition 3 of virt.events", "topic virt.events".
	what string
	// message is the broker's own text, or "".
	message string
}

func (e *codeError) Error() string {
	r := e.code.lookup()
	text := r.name + ": " + r.why
	if e.what != "" {
		text = e.what + ": " + text
	}
	if e.message != "" && !strings.Contains(text, e.message) {
		text += " (" + e.message + ")"
	}
	return text
}
