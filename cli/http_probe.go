package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ctxhub/client"
)

// httpAnswer is what a plain HTTP request brought from an address where a hub should be.
type httpAnswer struct {
	hub    bool   // a hub has answered, whatever stands in front of it
	proto  string // of the answer, such as HTTP/1.1
	status string // such as 404 Not Found
	server string // what the answer says of who made it. A hub says nothing, so that this is a proxy, or no hub
}

const probeTimeout = 5 * time.Second

// askOverHTTP calls a method as curl would: JSON, without a token. Where gRPC does not get through, it tells what is
// there: a hub behind a proxy that spoils gRPC, or something else. secure is nil for plaintext; target is the
// address to connect to in place of the one that the hub's name stands for, if it is not empty.
func askOverHTTP(ctx context.Context, at client.Address, target string, secure *tls.Config, protocols *http.Protocols) (httpAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: secure, Protocols: protocols, DisableKeepAlives: true}
	if target != "" {
		transport.DialContext = dialAt(target)
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String()+"/ctx.hub.v1.HubService/Status", strings.NewReader("{}"))
	if err != nil {
		return httpAnswer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := transport.RoundTrip(req)
	if err != nil {
		return httpAnswer{}, err
	}
	defer res.Body.Close()
	a := httpAnswer{proto: res.Proto, status: strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", http.StatusText(res.StatusCode)))}
	a.server = oneLine(res.Header.Get("Server"))
	if a.server == "" && res.Header.Get("Via") != "" {
		a.server = "a proxy (" + oneLine(res.Header.Get("Via")) + ")"
	}
	// A hub's answer to a call without a token.
	var said struct {
		Code string `json:"code"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	a.hub = err == nil && res.StatusCode == http.StatusUnauthorized && json.Unmarshal(body, &said) == nil && said.Code == "unauthenticated"
	return a, nil
}

// onlyHTTP1 and anyHTTP say what a request may be made in.
func onlyHTTP1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

func anyHTTP() *http.Protocols {
	p := onlyHTTP1()
	p.SetHTTP2(true)
	return p
}
