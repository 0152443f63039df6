package cli

const (
	benchPattern = ".ctx-bench-*"
	benchData    = "hub-data"
)
