package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// tokenFlags are the ways to hand over a token.
type tokenFlags struct {
	Token     string `placeholder:"TOKEN" xor:"token" help:"Token; - reads it from standard input. Also taken from CTX_HUB_TOKEN."`
	TokenFile string `placeholder:"FILE" xor:"token" help:"Read the token from a file."`
}

var errNoToken = errors.New("no token is given")

// maxToken is far more than a token has, so that a wrong file is not read to its end.
const maxToken = 4096

// read returns the token. A token on the command line works, but not without a warning: the machine's other
// users can see it, and the shell remembers it.
func (t tokenFlags) read(sys *system) (string, error) {
	switch {
	case t.Token == "-":
		return readTokenFrom(sys)
	case t.Token != "":
		sys.warn("a token on the command line can be seen by other users of this machine; --token - reads it from standard input")
		return t.Token, nil
	case t.TokenFile != "":
		f, err := openNamed("token", t.TokenFile)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return firstLine(f)
	case sys.env("CTX_HUB_TOKEN") != "":
		return strings.TrimSpace(sys.env("CTX_HUB_TOKEN")), nil
	}
	return "", errNoToken
}

func readTokenFrom(sys *system) (string, error) {
	if sys.secret == nil {
		return firstLine(sys.in)
	}
	fmt.Fprint(sys.err, "token: ")
	typed, err := sys.secret()
	fmt.Fprintln(sys.err)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return firstLine(strings.NewReader(string(typed)))
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxToken)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("%w: the input is empty", errNoToken)
	}
	return line, nil
}
