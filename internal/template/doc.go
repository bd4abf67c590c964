// Package template holds texts with placeholders in braces, such as
// "virt.{connection}.{kind}": the subjects of NATS and the topics of Kafka are written
// like that. The caller gives the names that are allowed, and appends their values.
package template
