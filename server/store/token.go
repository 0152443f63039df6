package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ctxhub/server/hub"
)

// ReadAdminToken reads admin.token; it works beside a running hub.
func ReadAdminToken(dir string) (string, error) {
	name := filepath.Join(dir, tokenName)
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if !strings.HasPrefix(token, hub.AdminTokenPrefix) || len(token) < len(hub.AdminTokenPrefix)+32 {
		return "", fmt.Errorf("%w: %s does not hold an admin token; move it away and a new one is made at the next start", hub.ErrDamaged, name)
	}
	return token, nil
}
