package server

import (
	"errors"
	"os"
)

// terminate cannot ask another process to drain on Windows.
func terminate(*os.Process) error {
	return errors.New("on Windows, press Ctrl-C in the window where the hub runs")
}
