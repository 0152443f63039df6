package cli

import (
	"testing"

	"ctxhub/client/project"
)

func TestATokenIsOnlyShownToHostsThatHaveSeenIt(t *testing.T) {
	for _, test := range []struct {
		old, new  string
		peers     []string
		mayBeSeen bool
	}{
		{"nexus:9900", "nexus:9900", nil, true},
		{"nexus:9900", "https://nexus:443", nil, true},
		{"https://nexus:443", "nexus:9900", nil, false},
		{"nexus:9900", "other:9900", nil, false},
		{"nexus:9900", "nexus:9900", []string{"other:9900"}, false},
		{"", "nexus:9900", nil, false},
	} {
		got := sameHosts(&project.Connection{HubAddr: test.old}, &project.Connection{HubAddr: test.new, Peers: test.peers})
		if got != test.mayBeSeen {
			t.Errorf("from %q to %q %v: %v", test.old, test.new, test.peers, got)
		}
	}
}
