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

	"ctxhub/server/hub"
)

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
	if _, err := b.readManifest(); err != nil {
		return Manifest{}, err
	}
	for _, f := range b.manifest.Files {
		if err := b.readFile(f); err != nil {
			return b.manifest, err
		}
	}
	if _, err := b.in.Next(); err != io.EOF {
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

func (b *backupReader) readManifest() ([]byte, error) {
	text, err := b.head(manifestName)
	if err != nil {
		return nil, err
	}
	hash, err := b.head(hashName)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(hash, hashLine(text)) {
		return nil, b.damaged("%s is not what was written", manifestName)
	}
	if err := json.Unmarshal(text, &b.manifest); err != nil {
		return nil, b.damaged("%s: %v", manifestName, err)
	}
	if b.manifest.Format > format {
		return nil, fmt.Errorf("%w: the backup has format %d, this program reads up to %d", ErrNewerFormat, b.manifest.Format, format)
	}
	return text, nil
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
	_, _, archived := parseArchived(f.Name)
	switch {
	case f.Name == metaName || f.Name == projectsName:
		return b.readText(f)
	case f.Name == logName || archived:
		return b.readLog(f)
	}
	return b.damaged("%s has no place in one", f.Name)
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
	if err != nil && err != io.EOF {
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
