package store

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// A backup is a tar file of a data directory as it was at one moment: a manifest, the manifest's hash, then the files
// that it lists, in its order. Unpacked, it is a data directory. The admin token is not in it.
const (
	manifestName = "backup.json"
	hashName     = manifestName + ".sha256" // as sha256sum writes it
)

// Manifest says what a backup holds. Sum, the last of the log's chain, names all of the log.
type Manifest struct {
	Format  int            `json:"format"` // of the data directory
	HubID   string         `json:"hub_id"`
	TakenAt time.Time      `json:"taken_at"`
	Oldest  uint64         `json:"oldest"` // sequence of the first entry in it
	Head    uint64         `json:"head"`   // sequence of the last entry in it
	Sum     string         `json:"sum,omitempty"`
	Files   []ManifestFile `json:"files"`
}

// ManifestFile is a file of a backup.
type ManifestFile struct {
	Name   string `json:"name"` // with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	CRC32C string `json:"crc32c,omitempty"` // of the log's files, as the hub knows it from having checked or written them
}

// Snapshot is a data directory as it was at one moment. It stays so while the hub goes on: what is in a log's file
// never changes.
type Snapshot struct {
	manifest []byte
	files    []ManifestFile
	taken    time.Time
	sources  []io.ReaderAt // of the files; nil for one that is left out
}

// Snapshot remembers how far everything is now. It copies nothing of the log and holds nobody up.
func (s *Store) Snapshot() (*Snapshot, error) {
	segments := s.log.now()
	head := segments[len(segments)-1].head
	m := Manifest{Format: format, HubID: s.hubID, TakenAt: time.Now().UTC(), Oldest: s.Oldest(), Head: head}
	s.metaMu.Lock()
	own := s.meta
	s.metaMu.Unlock()
	var last sum
	if head > 0 {
		var err error
		if last, err = s.log.sumAt(head); err != nil {
			return nil, err
		}
		m.Sum = last.String()
	}
	metaText, err := own.at(head, last).encode()
	if err != nil {
		return nil, err
	}
	s.projects.mu.RLock()
	projectsText, err := encodeProjects(s.projects.byName)
	s.projects.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	snap := &Snapshot{taken: m.TakenAt}
	snap.addText(metaName, metaText)
	snap.addText(projectsName, projectsText)
	for i, segment := range segments {
		name := logName
		if i < len(segments)-1 {
			name = filepath.ToSlash(archivedName(segment.base+1, segment.head))
		}
		snap.files = append(snap.files, ManifestFile{Name: name, Bytes: segment.size, CRC32C: crcText(segment.crc)})
		snap.sources = append(snap.sources, segment.file)
	}
	m.Files = snap.files
	snap.manifest, err = json.MarshalIndent(m, "", "  ")
	return snap, err
}

// now is the log's segments as they are at this moment.
func (l *log) now() []segment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	segments := make([]segment, len(l.segments))
	for i, s := range l.segments {
		segments[i] = *s
	}
	return segments
}

func crcText(crc uint32) string { return fmt.Sprintf("%08x", crc) }

func (s *Snapshot) addText(name string, text []byte) {
	hash := sha256.Sum256(text)
	s.files = append(s.files, ManifestFile{Name: name, Bytes: int64(len(text)), SHA256: hex.EncodeToString(hash[:])})
	s.sources = append(s.sources, bytes.NewReader(text))
}

// Sizes of a tar file's parts in bytes.
const (
	tarBlock = 512
	tarEnd   = 2 * tarBlock
)

// Size is the length of the backup in bytes.
func (s *Snapshot) Size() int64 {
	size := int64(tarEnd)
	for _, n := range append([]ManifestFile{{Bytes: int64(len(s.manifest))}, {Bytes: int64(len(hashLine(s.manifest)))}}, s.files...) {
		size += tarBlock + (n.Bytes+tarBlock-1)/tarBlock*tarBlock
	}
	return size
}

// WriteTo writes the backup.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	counted := &counter{w: w}
	out := tar.NewWriter(counted)
	for _, f := range []struct {
		name string
		text []byte
	}{{manifestName, s.manifest}, {hashName, hashLine(s.manifest)}} {
		if err := s.add(out, f.name, int64(len(f.text)), bytes.NewReader(f.text)); err != nil {
			return counted.n, err
		}
	}
	for i, f := range s.files {
		if err := s.add(out, f.Name, f.Bytes, s.sources[i]); err != nil {
			return counted.n, err
		}
	}
	return counted.n, out.Close()
}

func hashLine(manifest []byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(manifest), manifestName)
}

func (s *Snapshot) add(out *tar.Writer, name string, size int64, from io.ReaderAt) error {
	// GNU's form has no extra blocks for such names, which keeps Size a sum, and takes files over 8 GiB.
	err := out.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(fileMode), ModTime: s.taken.Truncate(time.Second), Format: tar.FormatGNU,
	})
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(out, onlyReader{io.NewSectionReader(from, 0, size)}, make([]byte, copyBytes))
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return nil
}

const copyBytes = 1 << 20

// onlyReader hides what else its reader could do, so that a copy keeps to its buffer.
type onlyReader struct{ io.Reader }

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
