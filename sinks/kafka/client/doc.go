// Package client talks to a Kafka cluster: connections with TLS and SASL, requests and
// their answers, error codes and what to do about each, the brokers, the topics with the
// leaders of their partitions, and offsets. It does not know what the records are about.
//
// # Connections
//
// A [Cluster] makes a connection when a request needs one, and at most one for each
// [Socket]. A connection carries one request at a time. It is closed at the first error
// and made again when the next request needs it. The package starts no goroutine.
//
// # Metadata
//
// [Cluster.Refresh] asks for the leaders of all known topics. A [Topic] then shows what
// has changed: Leaders grows when partitions were added, and Generation rises when the
// topic lost partitions, which means that it was deleted and created again.
//
// # Errors
//
// Every error that a broker answers with is a [*CodeError]; its [Code] has a [Verdict].
// [Config.Explain] makes an [*Error] of any failure: one line that names the cure.
package client
