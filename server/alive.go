package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// watcher asks a hub in this process whether it serves. One connection is enough, and it stays open between two looks.
var watcher = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 1,
	IdleConnTimeout:     time.Minute,
	TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // our own port, and nothing secret is said
}}

// answers asks for the hub's health at its own port, as a load balancer does. Any answer will do.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/grpc.health.v1.Health/Check", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := watcher.Do(req)
	if err != nil {
		return fmt.Errorf("the hub does not answer itself: %w", err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
