package project

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Connection is what a project knows about its hub. Token is a secret: it is stored sealed.
type Connection struct {
	HubAddr string   `json:"hub_addr"`
	Peers   []string `json:"peers,omitempty"`
	Project string   `json:"project,omitempty"`
	Token   string   `json:"token"`
	HubID   string   `json:"hub_id,omitempty"`
	Types   []string `json:"types"`
	// CACert is the PEM of a private certificate authority; empty for the system's.
	CACert string `json:"ca_cert,omitempty"`
}

// Prepare makes sure that a connection can be stored, so that a register that is bound to fail here fails
// before it takes a name on the hub. It makes the user's key on first use.
func (d *Dir) Prepare() error {
	if _, err := readOrMakeKey(); err != nil {
		return err
	}
	path := d.connectionPath()
	if isDir(path) {
		return fmt.Errorf("cannot store a connection: %s is a directory", path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), connectionFile+".tmp-*")
	if err != nil {
		return fmt.Errorf("cannot store a connection: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("cannot store a connection: %w", err)
	}
	return nil
}

// Load opens the sealed connection. ErrNotRegistered if there is none; ErrKeyMissing, ErrKeyMode or
// ErrSealed if it cannot be opened.
func (d *Dir) Load() (*Connection, error) {
	path := d.connectionPath()
	sealed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", d.root, ErrNotRegistered)
	}
	if err != nil {
		return nil, fmt.Errorf("read the connection: %w", err)
	}
	key, err := keyOf(path)
	if err != nil {
		return nil, err
	}
	plain, err := unseal(key, sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var conn Connection
	if err := json.Unmarshal(plain, &conn); err != nil {
		return nil, fmt.Errorf("%s: %w: it holds no connection", path, ErrSealed)
	}
	return &conn, nil
}

// Save seals the connection, in place of the one before. It makes the user's key on first use.
func (d *Dir) Save(conn *Connection) error {
	key, err := readOrMakeKey()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(conn)
	if err != nil {
		return fmt.Errorf("store the connection: %w", err)
	}
	sealed, err := seal(key, plain)
	if err != nil {
		return fmt.Errorf("store the connection: %w", err)
	}
	path := d.connectionPath()
	if err := d.disk.replace(path, path+".tmp-"+rand.Text(), sealed, 0o600); err != nil {
		return fmt.Errorf("store the connection: %w", err)
	}
	if err := d.disk.syncParent(path); err != nil {
		return fmt.Errorf("store the connection: %w", err)
	}
	return nil
}

// keyOf returns the key that the connection at path was sealed with. It makes none: a new one opens nothing.
func keyOf(path string) ([]byte, error) {
	file, err := keyPath()
	if err != nil {
		return nil, err
	}
	key, err := readKey(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s was sealed with %s", ErrKeyMissing, path, file)
	case errors.Is(err, ErrKeySize):
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	case err != nil:
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return key, nil
}

// seal returns nonce ‖ AES-256-GCM ciphertext ‖ tag. A random nonce is safe: a connection is saved a few
// times in its life, and 2^32 would be too many.
func seal(key, plain []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, nil), nil
}

func unseal(key, sealed []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize()+aead.Overhead() {
		return nil, fmt.Errorf("%w: it has only %d bytes", ErrSealed, len(sealed))
	}
	nonce, rest := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, rest, nil)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
