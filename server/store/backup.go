package store

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"time"

	"ctxhub/server/hub"
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
	sources  []io.ReaderAt // of the files
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
	// USTAR has no extra blocks, which keeps Size a sum.
	err := out.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: int64(fileMode), ModTime: s.taken.Truncate(time.Second), Format: tar.FormatUSTAR,
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

// checkCopy checks a backup that is just being made: its form, and that each file is, bit for bit, what the hub has
// checked or written.
func checkCopy(r io.Reader) (Manifest, error) {
	return (&backupReader{in: tar.NewReader(r), quick: true, put: func(_ string, content io.Reader) error {
		_, err := io.CopyBuffer(onlyWriter{io.Discard}, content, make([]byte, copyBytes))
		return err
	}}).run()
}

// ReadBackup checks a backup while it reads it: its form, each file's checksum, every entry's place in the chain, and
// that the files belong together. It gives each file to put, which must leave nothing unread. hub.ErrDamaged says what
// is wrong; then what put was given is of no use.
func ReadBackup(r io.Reader, put func(name string, content io.Reader) error) (Manifest, error) {
	return (&backupReader{in: tar.NewReader(r), put: put}).run()
}

func (b *backupReader) run() (Manifest, error) {
	if err := b.readManifest(); err != nil {
		return Manifest{}, err
	}
	for _, f := range b.manifest.Files {
		if err := b.readFile(f); err != nil {
			return b.manifest, err
		}
	}
	if _, err := b.in.Next(); err != io.EOF { //nolint:errorlint // tar's own end
		return b.manifest, b.damaged("it goes on behind its end, or ends before it")
	}
	return b.manifest, b.belongTogether()
}

type onlyWriter struct{ io.Writer }

type backupReader struct {
	in       *tar.Reader
	put      func(name string, content io.Reader) error
	manifest Manifest
	quick    bool // without the chain
	known    claim
	scan     scan
}

func (*backupReader) damaged(format string, args ...any) error {
	return fmt.Errorf("the backup is %w: %s", hub.ErrDamaged, fmt.Sprintf(format, args...))
}

func (b *backupReader) readManifest() error {
	text, err := b.head(manifestName)
	if err != nil {
		return err
	}
	hash, err := b.head(hashName)
	if err != nil {
		return err
	}
	if !bytes.Equal(hash, hashLine(text)) {
		return b.damaged("%s is not what was written", manifestName)
	}
	if err := json.Unmarshal(text, &b.manifest); err != nil {
		return b.damaged("%s: %v", manifestName, err)
	}
	if b.manifest.Format > format {
		return fmt.Errorf("%w: the backup has format %d, this program reads up to %d", ErrNewerFormat, b.manifest.Format, format)
	}
	return nil
}

// head reads one of the two files that a backup begins with.
func (b *backupReader) head(name string) ([]byte, error) {
	header, err := b.in.Next()
	if err != nil || header.Name != name || header.Size > copyBytes {
		return nil, b.damaged("it does not begin like one (is this a file of ctx hub backup?)")
	}
	text, err := io.ReadAll(b.in)
	if err != nil {
		return nil, b.damaged("%s: %v", name, err)
	}
	return text, nil
}

// readFile reads the next file, which must be the one that the manifest lists.
func (b *backupReader) readFile(f ManifestFile) error {
	header, err := b.in.Next()
	if err != nil {
		return b.damaged("it ends before %s: %v", f.Name, err)
	}
	if header.Name != f.Name || header.Size != f.Bytes || header.Typeflag != tar.TypeReg {
		return b.damaged("%s stands where %s should", header.Name, f.Name)
	}
	switch {
	case f.Name == metaName || f.Name == projectsName:
		return b.readText(f)
	case f.Name == logName || isArchived(f.Name):
		return b.readLog(f)
	}
	return b.damaged("%s has no place in one", f.Name)
}

func isArchived(name string) bool {
	var first, last uint64
	_, err := fmt.Sscanf(name, archiveName+"/entries-%d-%d.jsonl", &first, &last)
	return err == nil && filepath.ToSlash(archivedName(first, last)) == name
}

func (b *backupReader) readText(f ManifestFile) error {
	text, err := io.ReadAll(io.LimitReader(b.in, f.Bytes))
	if err != nil {
		return b.damaged("%s: %v", f.Name, err)
	}
	if hash := sha256.Sum256(text); hex.EncodeToString(hash[:]) != f.SHA256 {
		return b.damaged("%s is not what was written", f.Name)
	}
	if f.Name == metaName {
		_, b.known, err = parseMeta(text)
	} else {
		_, err = parseProjects(text)
	}
	if err != nil {
		return b.damaged("%s: %v", f.Name, err)
	}
	return b.put(f.Name, bytes.NewReader(text))
}

// readLog has the scan and put read the same bytes at once.
func (b *backupReader) readLog(f ManifestFile) error {
	if b.scan.head == 0 && b.manifest.Oldest > 0 {
		b.scan.head = b.manifest.Oldest - 1
	}
	source, sum := &source{r: b.in}, crc32.New(castagnoli)
	scan, scanned := b.startScan()
	err := b.put(f.Name, io.TeeReader(source, io.MultiWriter(sum, scan)))
	_ = scan.Close() // documented never to fail
	scanErr := <-scanned
	if source.err != nil {
		return b.damaged("%s: %v", f.Name, source.err)
	}
	if err = errors.Join(err, scanErr); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if !b.quick && b.scan.size != f.Bytes {
		return b.damaged("%s is not what was written from byte %d on", f.Name, b.scan.stopped)
	}
	if crcText(sum.Sum32()) != f.CRC32C {
		return b.damaged("%s is not what the hub wrote; on the hub's host: ctx hub verify", f.Name)
	}
	return nil
}

// startScan checks what is written to it by its chain, unless that is left out.
func (b *backupReader) startScan() (to io.WriteCloser, done <-chan error) {
	scanned := make(chan error, 1)
	if b.quick {
		scanned <- nil
		return nothing{}, scanned
	}
	reader, writer := io.Pipe()
	go func() {
		err := b.scan.file(reader)
		_, _ = io.Copy(io.Discard, reader) // behind what is wrong there may be more, which put still wants
		scanned <- err
	}()
	return writer, scanned
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// source remembers that reading failed, which put's own troubles must not be taken for.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader ends with io.EOF itself
		s.err = err
	}
	return n, err
}

// belongTogether compares where the log ends with what the manifest and meta.json say.
func (b *backupReader) belongTogether() error {
	m, head, last := b.manifest, b.scan.head, b.scan.prior
	if b.quick {
		head, last = b.known.head, b.known.sum
	}
	if head != m.Head || head > 0 && last.String() != m.Sum || b.known != (claim{head, last}) {
		return b.damaged("its log ends at entry %d, which is not where its %s says, at %d", head, manifestName, m.Head)
	}
	return nil
}
