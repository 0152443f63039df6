package server

import (
	"testing"

	"ctxhub/client"
	"ctxhub/server/hub"
)

// The client refuses early what the hub would refuse; it cannot import the hub's words, so they stand twice.
func TestTheClientsLimitsAreTheHubs(t *testing.T) {
	if client.MaxContentBytes != hub.MaxContent || client.MaxBatchEntries != hub.MaxBatchEntries || client.MaxBatchBytes != hub.MaxBatchContent {
		t.Error("client and hub disagree about the limits")
	}
}
