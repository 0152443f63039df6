package hub

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Project is the owner of a client token: a publisher and a reader.
type Project struct {
	ID      string // made once; a repeated Register with it is the same registration
	Name    string // the origin of its entries
	Token   TokenHash
	Created time.Time
	Revoked time.Time // zero while the token is good
}

// Active says whether the project's token is good.
func (p *Project) Active() bool { return p.Revoked.IsZero() }

// TokenHash is all that is kept of a token. Tokens are 256 random bits, so that a plain hash cannot be
// searched and comparing hashes reveals nothing about a token.
type TokenHash [sha256.Size]byte

// HashToken hashes a token as it stands behind "Bearer ".
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// Prefixes tell a person whose token it is that lies before them.
const (
	AdminTokenPrefix  = "ctx_adm_" //nolint:gosec // a prefix is no token
	ClientTokenPrefix = "ctx_cli_" //nolint:gosec // nor is this
)

// NewToken makes a token of 256 random bits behind prefix.
func NewToken(prefix string) string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // documented never to fail
	return prefix + hex.EncodeToString(secret[:])
}

// NewHexID makes an identity for a hub or a project: 128 random bits in hex.
func NewHexID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // documented never to fail
	return hex.EncodeToString(id[:])
}

// ValidateName refuses names that could not stand in a heading, a path or a terminal unharmed.
func ValidateName(name string) error {
	if name == "" || len(name) > MaxProject || !utf8.ValidString(name) || strings.TrimSpace(name) != name ||
		strings.HasPrefix(name, ".") || strings.ContainsFunc(name, notInName) {
		return Refuse(ErrInvalid, "a project's name has 1 to %d bytes: letters, digits and . _ - @ + or inner spaces, and does not begin with a dot; got %.80q", MaxProject, name)
	}
	return nil
}

func notInName(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune("._-@+ ", r)
}
