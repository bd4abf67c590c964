package journal

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

const pageSize = 4096

// memFS is a file system in memory that knows what a power cut would leave, and
// can fail. Locks end with crash.
type memFS struct {
	mu    sync.Mutex
	live  map[string]*memFile // what the process sees
	disk  map[string]*memFile // the synced directory entries
	locks map[string]bool
	ops   int
	// fail is asked before each operation that changes something, and before each open; n
	// counts them from 0.
	fail func(n int, op, name string) error
	// room is how many bytes there are; 0 is no limit.
	room int64
}

type memFile struct {
	fs    *memFS
	data  []byte       // what the process sees
	disk  []byte       // as of the last sync
	dirty map[int]bool // pages that the next sync writes
}

func (f *memFile) clone(fs *memFS) *memFile {
	return &memFile{fs: fs, data: slices.Clone(f.data), disk: slices.Clone(f.disk), dirty: maps.Clone(f.dirty)}
}

// touch makes the pages of a range dirty.
func (f *memFile) touch(from, to int) {
	if f.dirty == nil {
		f.dirty = map[int]bool{}
	}
	for p := from / pageSize; p*pageSize < to; p++ {
		f.dirty[p] = true
	}
}

// flush writes the dirty pages for which keep is true, and the size.
func (f *memFile) flush(size int, keep func() bool) []byte {
	p := slices.Clone(f.disk)
	p = append(p[:min(size, len(p))], make([]byte, max(0, size-len(p)))...)
	for _, page := range slices.Sorted(maps.Keys(f.dirty)) {
		at := page * pageSize
		if end := min(at+pageSize, len(p), len(f.data)); end > at && keep() {
			copy(p[at:end], f.data[at:end])
		}
	}
	return p
}

func newMemFS() *memFS {
	return &memFS{live: map[string]*memFile{}, disk: map[string]*memFile{}, locks: map[string]bool{}}
}

// crash returns what is left after the process was killed, or, with cut, after a power
// cut: of each file the synced content, with some of the pages written since, and of the
// directory the synced entries, with some of the changes since.
func (m *memFS) crash(cut *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := newMemFS()
	if cut == nil {
		for name, f := range m.live {
			// A page that was not synced yet stays that way.
			left.live[name] = f.clone(left)
		}
		for name, f := range m.disk {
			if m.live[name] == f {
				left.disk[name] = left.live[name]
			} else {
				left.disk[name] = f.clone(left)
			}
		}
		return left
	}
	names := map[string]bool{}
	for name := range m.live {
		names[name] = true
	}
	for name := range m.disk {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := m.disk[name]
		if m.live[name] != f && cut.IntN(2) == 0 {
			f = m.live[name]
		}
		if f == nil {
			continue
		}
		p := f.afterCut(cut)
		file := &memFile{fs: left, data: p, disk: slices.Clone(p)}
		left.live[name], left.disk[name] = file, file
	}
	return left
}

// afterCut returns the synced content with some of the pages, and perhaps the size,
// written since.
func (f *memFile) afterCut(cut *rand.Rand) []byte {
	size := len(f.disk)
	if cut.IntN(2) == 0 {
		size = len(f.data)
	}
	return f.flush(size, func() bool { return cut.IntN(2) == 0 })
}

// step counts an operation and asks whether it shall fail. The lock is held.
func (m *memFS) step(op, name string) error {
	n := m.ops
	m.ops++
	if m.fail == nil {
		return nil
	}
	return m.fail(n, op, filepath.Base(name))
}

func (m *memFS) used() int64 {
	n := int64(0)
	for _, f := range m.live {
		n += int64(len(f.data))
	}
	return n
}

func (m *memFS) names(dir string) []string {
	names, err := m.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	slices.Sort(names)
	return names
}

func (m *memFS) MakeDir(string) error { return nil }

func (m *memFS) OpenFile(name string, flag int) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("open", name); err != nil {
		return nil, err
	}
	f := m.live[name]
	switch {
	case f == nil && flag&os.O_CREATE == 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	case f == nil:
		f = &memFile{fs: m}
		m.live[name] = f
	case flag&os.O_TRUNC != 0:
		f.data = nil
	}
	return &memHandle{f, name}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("rename", to); err != nil {
		return err
	}
	f := m.live[from]
	if f == nil {
		return os.ErrNotExist
	}
	delete(m.live, from)
	m.live[to] = f
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("remove", name); err != nil {
		return err
	}
	if m.live[name] == nil {
		return os.ErrNotExist
	}
	delete(m.live, name)
	return nil
}

func (m *memFS) ReadDir(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.live {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("syncdir", dir); err != nil {
		return err
	}
	for name := range m.disk {
		if m.live[name] == nil {
			delete(m.disk, name)
		}
	}
	for name, f := range m.live {
		m.disk[name] = f
	}
	return nil
}

func (m *memFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	fs   *memFS
	name string
}

func (l memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.name)
	return nil
}

// memHandle is an open memFile.
type memHandle struct {
	*memFile
	name string
}

func (f *memHandle) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes half of p if it fails.
func (f *memHandle) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.fs.step("write", f.name)
	if err != nil {
		p = p[:len(p)/2]
	}
	if grow := off + int64(len(p)) - int64(len(f.data)); grow > 0 {
		if f.fs.room > 0 {
			if free := f.fs.room - f.fs.used(); grow > free {
				p = p[:max(0, int64(len(p))-(grow-free))]
				err = fmt.Errorf("write %s: %w", f.name, syscall.ENOSPC)
			}
		}
		if grow = off + int64(len(p)) - int64(len(f.data)); grow > 0 {
			f.data = append(f.data, make([]byte, grow)...)
		}
	}
	copy(f.data[min(off, int64(len(f.data))):], p)
	f.touch(int(off), int(off)+len(p))
	return len(p), err
}

func (f *memHandle) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.data)), nil
}

func (f *memHandle) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step("truncate", f.name); err != nil {
		return err
	}
	f.data = append(f.data[:min(size, int64(len(f.data)))], make([]byte, max(0, size-int64(len(f.data))))...)
	f.touch(int(size), int(size)+1)
	return nil
}

// Sync that fails leaves some pages on disk, as a power cut does, and the others are not
// tried again, as Linux has it.
func (f *memHandle) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step("sync", f.name); err != nil {
		f.disk = f.afterCut(rand.New(rand.NewPCG(uint64(f.fs.ops), 1)))
		f.dirty = nil
		return err
	}
	f.disk = f.flush(len(f.data), func() bool { return true })
	f.dirty = nil
	return nil
}

func (f *memHandle) Close() error { return nil }
