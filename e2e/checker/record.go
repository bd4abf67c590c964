package checker

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// line is one record of a topic, as ReadTopic prints it.
type line struct {
	Key       string
	Partition int
	Offset    int64
	Headers   map[string]string
	Value     json.RawMessage
}

// attributes are the attributes of an event that are judged.
type attributes struct {
	ID             string `json:"id"`
	Source         string `json:"source"`
	Epoch          string `json:"epoch"`
	Subject        string `json:"subject"`
	PartitionKey   string `json:"partitionkey"`
	Sequence       string `json:"sequence"`
	DomainSequence string `json:"domainsequence"`
}

// data has the members of an event's data that are judged.
type data struct {
	Domain struct {
		UUID string
		ID   int
	}
	Event, Detail string
}

// record is an event as it was read.
type record struct {
	key       string
	partition int
	offset    int64
	attributes
	data
	sequence, domainSequence uint64 // 0: absent
}

// structured is the media type of an event that is whole in its value.
const structured = "application/cloudevents+json"

// parse makes a record of a line, in either content mode.
func parse(text []byte) (record, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return record{}, fmt.Errorf("not a line of the reader: %w", err)
	}
	r := record{key: l.Key, partition: l.Partition, offset: l.Offset}
	payload := l.Value
	if strings.HasPrefix(l.Headers["content-type"], structured) {
		whole := struct {
			*attributes
			Data json.RawMessage `json:"data"`
		}{attributes: &r.attributes}
		if err := json.Unmarshal(l.Value, &whole); err != nil {
			return r, fmt.Errorf("structured event: %w", err)
		}
		payload = whole.Data
	} else {
		h := l.Headers
		r.attributes = attributes{
			ID: h["ce_id"], Source: h["ce_source"], Epoch: h["ce_epoch"], Subject: h["ce_subject"], PartitionKey: h["ce_partitionkey"],
			Sequence: h["ce_sequence"], DomainSequence: h["ce_domainsequence"],
		}
	}
	if err := json.Unmarshal(payload, &r.data); err != nil {
		return r, fmt.Errorf("data: %w", err)
	}
	var err error
	if r.sequence, err = strconv.ParseUint(r.Sequence, 10, 64); err != nil {
		return r, fmt.Errorf("sequence: %w", err)
	}
	if r.Subject != "" {
		if r.domainSequence, err = strconv.ParseUint(r.DomainSequence, 10, 64); err != nil {
			return r, fmt.Errorf("domainsequence: %w", err)
		}
	}
	switch {
	case r.ID == "" || r.Source == "" || r.Epoch == "":
		return r, fmt.Errorf("no id, source or epoch in %s", text)
	case r.key != r.PartitionKey:
		return r, fmt.Errorf("the record's key is %q and its partitionkey %q", r.key, r.PartitionKey)
	case r.Subject != r.Domain.UUID:
		return r, fmt.Errorf("the subject is %q and the domain in the data %q", r.Subject, r.Domain.UUID)
	}
	return r, nil
}
