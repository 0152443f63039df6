package project

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"
)

// mirrors is the mirrors of a project during one Sync or Listen.
type mirrors struct {
	dir   *Dir
	conn  *Connection
	kinds []kind
	skip  bool // begin where the hub's log begins, if its beginning is gone
	// hub is which hub answered last; empty before the first answer.
	hub string
	// goal is the head when a Sync began its last leg; 0 before that.
	goal uint64
	// of is which hub the state is of, and owed what it says is owed, when it was last read or written.
	of   string
	owed *Debt
	// noted is what was published from here; settled are the ids of it that this run has published again.
	noted   noteIndex
	settled map[string]bool
	unpaid  unpaid
	// seen spares reading a mirror again that nobody else has touched, so that a batch costs only itself.
	seen map[string]seen
}

// seen is a mirror as this run has last read or written it.
type seen struct {
	mirror  Mirror
	size    int64
	changed time.Time
	sum     hash.Hash // of the first mirror.Bytes bytes
}

// standing is where one mirror stands. It holds only under the lock.
type standing struct {
	kind   kind
	mirror Mirror
	size   int64
	sum    hash.Hash
	// fresh: the file is to be written from its header on.
	fresh bool
	// why says what happened to a file that was there before and is fresh now.
	why string
}

func openMirrors(d *Dir, conn *Connection, o Options) (*mirrors, error) {
	m := &mirrors{
		dir: d, conn: conn, kinds: mirrored(conn.Types), skip: o.SkipMissing,
		settled: make(map[string]bool), seen: make(map[string]seen),
	}
	if len(m.kinds) == 0 {
		return nil, fmt.Errorf("%s: %w", d.root, ErrNoTypes)
	}
	return m, nil
}

// stand compares a mirror with what the state says of it. It changes nothing.
func (m *mirrors) stand(k kind, says Mirror) (standing, error) {
	path := m.dir.hubPath(k.file)
	info, err := os.Lstat(path)
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !gone:
		return standing{}, fmt.Errorf("read a mirror: %w", err)
	case !gone && !info.Mode().IsRegular(): // a link could lead to a file that is not ours to write
		return standing{}, fmt.Errorf("%s is not a regular file: a mirror is not written to it", path)
	case says.Bytes == 0:
		return standing{kind: k, fresh: true}, nil
	case gone:
		return standing{kind: k, fresh: true, why: k.file + " was gone: it is built anew"}, nil
	}
	known, ok := m.seen[k.name]
	if !ok || known.mirror != says || known.size != info.Size() || !known.changed.Equal(info.ModTime()) {
		sum, err := hashPrefix(path, says.Bytes)
		if err != nil {
			return standing{}, fmt.Errorf("read a mirror: %w", err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != says.SHA256 {
			return standing{kind: k, fresh: true, why: k.file + " was edited or damaged: it is built anew"}, nil
		}
		known = seen{mirror: says, size: info.Size(), changed: info.ModTime(), sum: sum}
		m.seen[k.name] = known
	}
	return standing{kind: k, mirror: says, size: known.size, sum: known.sum}, nil
}

// stands is stand for several kinds.
func (m *mirrors) stands(kinds []kind, st *State) ([]standing, error) {
	list := make([]standing, 0, len(kinds))
	for _, k := range kinds {
		s, err := m.stand(k, st.Mirrors[k.name])
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// hashPrefix hashes the first n bytes of a file, or all of a shorter one, which then has another hash.
func hashPrefix(path string, n int64) (hash.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, n); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return sum, nil
}

// write appends text to a mirror, cutting off first what a killed run left behind its end, and returns how
// far the mirror is then. The state still has to say so before it counts.
func (m *mirrors) write(s standing, text string) (Mirror, error) {
	// The running hash is changed below: if this fails, the file must be read again.
	delete(m.seen, s.kind.name)
	if s.fresh {
		s.sum, s.mirror.Bytes, text = sha256.New(), 0, header(s.kind)+text
	}
	path := m.dir.hubPath(s.kind.file)
	if err := m.dir.disk.extend(path, s.mirror.Bytes, text); err != nil {
		return Mirror{}, fmt.Errorf("write a mirror: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return Mirror{}, fmt.Errorf("write a mirror: %w", err)
	}
	_, _ = io.WriteString(s.sum, text) // a hash takes everything
	mirror := Mirror{
		LastSequence: s.mirror.LastSequence,
		Sum:          s.mirror.Sum,
		Bytes:        s.mirror.Bytes + int64(len(text)),
		SHA256:       hex.EncodeToString(s.sum.Sum(nil)),
	}
	m.seen[s.kind.name] = seen{mirror: mirror, size: info.Size(), changed: info.ModTime(), sum: s.sum}
	return mirror, nil
}

// extend makes a file its first keep bytes and text, on the disk. Killed in between it leaves a file that
// begins with what was kept.
func (k disk) extend(path string, keep int64, text string) error {
	f, err := k.open(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err = k.truncate(f, keep); err == nil {
		_, err = k.write(f, []byte(text), keep)
	}
	if err == nil {
		err = k.sync(f)
	}
	return errors.Join(err, f.Close())
}
