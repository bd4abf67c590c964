// Package config is what users write: the file of virtcast run -c, and the flags that
// override it.
//
// [Load] reads a file in five steps, and each step reports every fault that it finds:
//
//	bytes ── parse ── expand ${NAME} ── decode strictly ── Validate ──▶ *Config
//	          YAML     environment       unknown keys,      meaning
//	                                     types
//
// A fault is one line: file:line:column, the key, the problem and the cure. Nothing in a
// file is ignored: a key that no struct has is a fault.
//
// [Config] is plain data. Absent keys stay zero; the package that owns a part knows its
// defaults (sinks/nats, sinks/kafka, sinks/jsonl, drivers/libvirt, bridge/journal). This
// package opens, connects and starts nothing: package service does.
package config
