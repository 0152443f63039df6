// Package server composes a hub: it opens the data directory, serves the handlers on one port, and takes
// everything down again in the order that loses nothing.
package server
