package server

import (
	"context"
	"fmt"
	"os"
	"time"

	"ctxhub/server/store"
)

// Stop asks the hub that has dataDir open to drain, and returns when it is gone. ErrNotRunning if there is none.
func Stop(ctx context.Context, dataDir string) error {
	l, err := FindLocal(dataDir)
	if err != nil {
		return err
	}
	process, err := os.FindProcess(l.PID)
	if err != nil {
		return err
	}
	if err := terminate(process); err != nil {
		return fmt.Errorf("stop the hub (process %d): %w", l.PID, err)
	}
	for {
		running, err := store.InUse(dataDir)
		if err != nil || !running {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the hub (process %d) has not stopped: %w", l.PID, ctx.Err())
		}
	}
}
