// Command ctx shares what projects know through a hub.
package main

import (
	"os"

	"ctxhub/cli"
)

func main() { os.Exit(cli.Main()) }
