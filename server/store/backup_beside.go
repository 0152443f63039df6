package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// WithoutLog is the snapshot without the files of the log, for BesideHub to put them in again.
func (s *Snapshot) WithoutLog() *Snapshot {
	small := &Snapshot{manifest: s.manifest, taken: s.taken}
	for i, f := range s.files {
		if f.CRC32C == "" {
			small.files, small.sources = append(small.files, f), append(small.sources, s.sources[i])
		}
	}
	return small
}

// BesideHub is the snapshot that a running hub took of its data directory, from what WithoutLog wrote of it and the
// log's files themselves. The hub then has no part in copying them.
func BesideHub(dir string, small io.Reader) (_ *Snapshot, err error) {
	texts := map[string][]byte{}
	b := &backupReader{in: tar.NewReader(small), quick: true, put: func(name string, content io.Reader) (err error) {
		texts[name], err = io.ReadAll(content)
		return err
	}}
	s := &Snapshot{taken: time.Now()}
	if s.manifest, err = b.readManifest(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	s.files = b.manifest.Files
	base := b.manifest.Oldest - 1
	for _, f := range s.files {
		if f.CRC32C == "" {
			if err := b.readFile(f); err != nil {
				return nil, err
			}
			s.sources = append(s.sources, bytes.NewReader(texts[f.Name]))
			continue
		}
		source, err := besides(dir, f, base, b.manifest.Head)
		if err != nil {
			return nil, err
		}
		s.sources = append(s.sources, source)
		_, base, _ = parseArchived(f.Name)
	}
	return s, nil
}

// besides opens a file of the log, which a rotation may have moved to the archive since the hub named it.
func besides(dir string, f ManifestFile, base, head uint64) (file, error) {
	names := []string{f.Name}
	if f.Name == logName {
		all, err := listArchive(dir)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			if a.first == base+1 && a.last >= head {
				names = append(names, a.name)
			}
		}
	}
	for _, name := range names {
		source, err := disk{}.Open(filepath.Join(dir, filepath.FromSlash(name)), os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		begins, err := readBase(source)
		if err == nil && begins == base {
			return source, nil
		}
		if err := errors.Join(err, source.Close()); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %s is not in %s", ErrDataDir, f.Name, dir)
}

// Close closes the files that BesideHub has opened.
func (s *Snapshot) Close() error {
	var errs []error
	for _, source := range s.sources {
		if f, ok := source.(file); ok {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
