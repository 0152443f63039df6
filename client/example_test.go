package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"ctxhub/client"
	hubv1 "ctxhub/gen/ctx/hub/v1"
)

func Example() {
	c, err := client.New(client.Config{
		Addresses: []string{"nexus.local:9900"},
		Token:     "ctx_cli_1",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	sequences, err := c.Publish(ctx, &hubv1.NewEntry{Type: "decision", Content: "Logs are JSON lines."})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored as", sequences[0])

	for batch, err := range c.Listen(ctx, &hubv1.ListenRequest{Types: []string{"decision"}}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range batch.GetEntries() {
			fmt.Println(e.GetSequence(), e.GetOrigin(), e.GetContent())
		}
		// What is kept up to here need not be read again: the next Listen starts after batch.GetCursor().
	}
}

func ExampleClient_Status() {
	c, err := client.New(client.Config{Addresses: []string{"https://nexus.example.com"}, Token: "ctx_cli_1"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	status, err := c.Status(context.Background())
	switch {
	case errors.Is(err, client.ErrUnreachable):
		fmt.Println("is the hub running?")
	case errors.Is(err, client.ErrCertificate):
		fmt.Println("does the hub have a private CA?")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("the head is", status.GetHead())
	}
}

func ExampleParseAddress() {
	for _, typed := range []string{"nexus.local", "nexus.example.com:443", "grpc://[::1]:9900", "nexus/hub"} {
		address, err := client.ParseAddress(typed)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(address)
	}
	// Output:
	// http://nexus.local:9900
	// https://nexus.example.com:443
	// http://[::1]:9900
	// hub address "nexus/hub": it has a path; a hub is addressed by host and port only
}
