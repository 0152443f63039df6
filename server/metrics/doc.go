// Package metrics counts and times what a hub does, and shows it to Prometheus. It is the only package that knows
// Prometheus, and it knows nothing of a hub: others tell it what they did, and answer it when it is scraped.
package metrics
