package kafka

import "strings"

// purpose is what the topics of a sink are for.
type purpose struct {
	states bool
	// cleanup is the cleanup.policy that topics are created with.
	cleanup string
	// misfit returns why a cleanup.policy does not suit, and what to do; "" where it
	// does.
	misfit func(policy string) (problem, hint string)
}

// forEvents: every event stays in the topic for as long as the topic retains it.
var forEvents = purpose{cleanup: "delete", misfit: func(policy string) (problem, hint string) {
	if !strings.Contains(policy, "compact") {
		return "", ""
	}
	return "cleanup.policy is " + policy + ", so that all but the last event of each domain would be deleted",
		"set cleanup.policy=delete, or set topic to another one"
}}

// forStates: the last state of each domain stays in the topic for ever.
var forStates = purpose{states: true, cleanup: "compact", misfit: func(policy string) (problem, hint string) {
	if policy == "compact" {
		return "", ""
	}
	return "cleanup.policy is " + policy + ", so that the states of silent domains would be deleted with time",
		"set cleanup.policy=compact, or set state_topic to another one"
}}
