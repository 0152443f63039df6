package store

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"ctxhub/server/hub"
)

// projects is projects.json: who may publish and read. It is small, so that each change writes it whole.
type projects struct {
	files files
	name  string

	writing sync.Mutex // held while a change is made durable; readers do not wait for that

	mu      sync.RWMutex
	byName  map[string]hub.Project
	byToken map[hub.TokenHash]string // active tokens only
	changed chan struct{}            // closed at each change
}

// projectLine is a project as it stands in projects.json.
type projectLine struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Token     string     `json:"token_sha256"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

type projectsFile struct {
	Projects []projectLine `json:"projects"`
}

func openProjects(d files, name string) (*projects, error) {
	p := &projects{files: d, name: name, changed: make(chan struct{})}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		p.set(map[string]hub.Project{})
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := parseProjects(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; put it back from a copy, or see what can be kept: ctx hub repair --dry-run", name, err)
	}
	p.set(all)
	return p, nil
}

func parseProjects(data []byte) (map[string]hub.Project, error) {
	var f projectsFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", hub.ErrDamaged, err)
	}
	all := make(map[string]hub.Project, len(f.Projects))
	for _, line := range f.Projects {
		project := hub.Project{ID: line.ID, Name: line.Name, Created: line.CreatedAt}
		if n, err := hex.Decode(project.Token[:], []byte(line.Token)); err != nil || n != len(project.Token) {
			return nil, fmt.Errorf("%w: the token_sha256 of %q is not 64 hex digits", hub.ErrDamaged, line.Name)
		}
		if line.RevokedAt != nil {
			project.Revoked = *line.RevokedAt
		}
		if _, twice := all[line.Name]; twice {
			return nil, fmt.Errorf("%w: %q is there twice", hub.ErrDamaged, line.Name)
		}
		all[line.Name] = project
	}
	return all, nil
}

func encodeProjects(all map[string]hub.Project) ([]byte, error) {
	var f projectsFile
	for _, x := range sorted(all) {
		line := projectLine{ID: x.ID, Name: x.Name, Token: hex.EncodeToString(x.Token[:]), CreatedAt: x.Created}
		if !x.Active() {
			line.RevokedAt = &x.Revoked
		}
		f.Projects = append(f.Projects, line)
	}
	data, err := json.MarshalIndent(f, "", "  ")
	return append(data, '\n'), err
}

// set replaces what is known. The maps are never changed after that.
func (p *projects) set(all map[string]hub.Project) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byName = all
	p.byToken = make(map[hub.TokenHash]string, len(all))
	for name, project := range all {
		if project.Active() {
			p.byToken[project.Token] = name
		}
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// put makes one project durable and then known; writing is held.
func (p *projects) put(project hub.Project) error {
	all := make(map[string]hub.Project, len(p.byName)+1)
	maps.Copy(all, p.byName)
	all[project.Name] = project
	data, err := encodeProjects(all)
	if err != nil {
		return err
	}
	if err := writeWhole(p.files, p.name, data); err != nil {
		return fmt.Errorf("%w: %w", hub.ErrUnavailable, withoutPath(err))
	}
	p.set(all)
	return nil
}

func sorted(all map[string]hub.Project) []hub.Project {
	list := make([]hub.Project, 0, len(all))
	for _, project := range all {
		list = append(list, project)
	}
	slices.SortFunc(list, func(a, b hub.Project) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Register implements hub.Writer.
func (s *Store) Register(_ context.Context, project hub.Project, prior hub.TokenHash) error {
	p := s.projects
	p.writing.Lock()
	defer p.writing.Unlock()
	existing, taken := p.byName[project.Name]
	switch {
	case taken && existing.ID == project.ID:
		return nil
	case taken && existing.Active() && subtle.ConstantTimeCompare(existing.Token[:], prior[:]) == 0:
		return hub.Refuse(hub.ErrNameTaken, "the project name %q is already taken on this hub", project.Name)
	}
	return p.put(project)
}

// Revoke implements hub.Writer.
func (s *Store) Revoke(_ context.Context, name string, at time.Time) error {
	p := s.projects
	p.writing.Lock()
	defer p.writing.Unlock()
	project, ok := p.byName[name]
	if !ok {
		return hub.Refuse(hub.ErrNoProject, "this hub has no project %.80q", name)
	}
	if !project.Active() {
		return nil
	}
	project.Revoked = at
	return p.put(project)
}

// Authenticate returns the project whose token has this hash; false if it is unknown or revoked.
func (s *Store) Authenticate(token hub.TokenHash) (hub.Project, bool) {
	s.projects.mu.RLock()
	defer s.projects.mu.RUnlock()
	name, ok := s.projects.byToken[token]
	if !ok {
		return hub.Project{}, false
	}
	return s.projects.byName[name], true
}

// ProjectsChanged returns a channel that is closed at the next change, so that an open stream can look again
// whether its token is still good.
func (s *Store) ProjectsChanged() <-chan struct{} {
	s.projects.mu.RLock()
	defer s.projects.mu.RUnlock()
	return s.projects.changed
}

// Projects lists all projects by name, revoked ones too.
func (s *Store) Projects() []hub.Project {
	s.projects.mu.RLock()
	defer s.projects.mu.RUnlock()
	return sorted(s.projects.byName)
}
