package client

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

// Backup writes a backup of the hub to w, as it is when the call begins; the client's token is the admin's. It is not
// tried again, since w has then had a part of it. progress, if set, is told how many bytes came, of how many.
func (c *Client) Backup(ctx context.Context, req *hubv1.BackupRequest, w io.Writer, progress func(done, total uint64)) error {
	ctx, stop := c.join(ctx)
	defer stop()
	e := c.pick()
	open := func(ctx context.Context) (*connect.ServerStreamForClient[hubv1.BackupResponse], error) {
		return e.admin.Backup(ctx, req)
	}
	var done, total uint64
	var writing error
	err := follow(ctx, e, c.streamTimeout, open, func(m *hubv1.BackupResponse) bool {
		if _, writing = w.Write(m.GetData()); writing != nil {
			return false
		}
		done, total = done+uint64(len(m.GetData())), m.GetSize()
		if progress != nil {
			progress(done, total)
		}
		return true
	})
	switch {
	case errors.Is(err, errStopped):
		return writing
	case err != nil:
		return err
	case done != total || total == 0:
		return newFault(connect.CodeUnavailable, ErrConnectionLost, "the backup ended at %d of %d bytes", done, total)
	}
	return nil
}

// Rotate seals the log so far into the hub's archive; the client's token is the admin's.
func (c *Client) Rotate(ctx context.Context) (*hubv1.RotateResponse, error) {
	return call(ctx, c, anyError, func(ctx context.Context, e *endpoint) (*hubv1.RotateResponse, error) {
		return e.admin.Rotate(ctx, &hubv1.RotateRequest{})
	})
}
