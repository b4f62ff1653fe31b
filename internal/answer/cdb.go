package answer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A cdb file (cr.yp.to/cdb/cdb.txt): a header of 256 pairs, position and number of slots of a hash table; the records, each with the
// lengths of its key and its value; the tables, of slots of a hash and the position of a record. All numbers are 32 bits, little endian.
const (
	tables     = 256
	pairSize   = 8 // two numbers
	headerSize = tables * pairSize
)

// errDamaged says that the bytes are no cdb file, or not a whole one.
var errDamaged = errors.New("the file is damaged or cut off")

// cdbHash is the format's hash of a key.
func cdbHash(key []byte) uint32 {
	h := uint32(5381)
	for _, c := range key {
		h = (h<<5 + h) ^ uint32(c)
	}
	return h
}

type slot struct{ hash, at uint32 }

// cdbMaker writes a cdb file into memory.
type cdbMaker struct {
	file  []byte
	slots [tables][]slot
}

func newMaker() *cdbMaker { return &cdbMaker{file: make([]byte, headerSize)} }

// add appends a record. The format has room for 4 GiB.
func (m *cdbMaker) add(key, value []byte) error {
	if len(m.file)+pairSize+len(key)+len(value) > math.MaxUint32 {
		return errors.New("more than a cdb file can hold (4 GiB)")
	}
	hash := cdbHash(key)
	m.slots[hash%tables] = append(m.slots[hash%tables], slot{hash, uint32(len(m.file))}) //nolint:gosec // see above
	m.pair(uint32(len(key)), uint32(len(value)))                                         //nolint:gosec // see above
	m.file = append(append(m.file, key...), value...)
	return nil
}

func (m *cdbMaker) pair(a, b uint32) {
	m.file = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(m.file, a), b)
}

// finish appends the tables, each twice as long as what is in it, and gives the file.
func (m *cdbMaker) finish() ([]byte, error) {
	for i, of := range m.slots {
		if len(m.file)+2*len(of)*pairSize > math.MaxUint32 {
			return nil, errors.New("more than a cdb file can hold (4 GiB)")
		}
		binary.LittleEndian.PutUint32(m.file[i*pairSize:], uint32(len(m.file))) //nolint:gosec // see above
		binary.LittleEndian.PutUint32(m.file[i*pairSize+4:], uint32(2*len(of))) //nolint:gosec // see above
		table := make([]slot, 2*len(of))
		for _, s := range of {
			at := int(s.hash/tables) % len(table)
			for table[at].at != 0 {
				at = (at + 1) % len(table)
			}
			table[at] = s
		}
		for _, s := range table {
			m.pair(s.hash, s.at)
		}
	}
	return m.file, nil
}

// cdbGet finds the value of a key in a file of size bytes. A value longer than limit counts as damage, and so does whatever leads out of the
// file: a file that was cut off has no answer instead of a wrong one.
func cdbGet(file io.ReaderAt, size int64, key []byte, limit uint32) (value []byte, found bool, err error) {
	hash := cdbHash(key)
	pos, slots, err := pairAt(file, size, int64(hash%tables)*pairSize)
	if err != nil || slots == 0 {
		return nil, false, err
	}
	if int64(pos)+int64(slots)*pairSize > size {
		return nil, false, fmt.Errorf("a table ends beyond the file: %w", errDamaged)
	}
	at := hash / tables % slots
	for range slots {
		h, record, err := pairAt(file, size, int64(pos)+int64(at)*pairSize)
		if err != nil || record == 0 {
			return nil, false, err
		}
		if h == hash {
			value, found, err = recordAt(file, size, int64(record), key, limit)
			if err != nil || found {
				return value, found, err
			}
		}
		if at++; at == slots {
			at = 0
		}
	}
	return nil, false, fmt.Errorf("a table without an end: %w", errDamaged)
}

// recordAt gives the value of the record at pos if it has this key.
func recordAt(file io.ReaderAt, size, pos int64, key []byte, limit uint32) (value []byte, same bool, err error) {
	keySize, valueSize, err := pairAt(file, size, pos)
	if err != nil {
		return nil, false, err
	}
	if pos += pairSize; pos+int64(keySize)+int64(valueSize) > size {
		return nil, false, fmt.Errorf("a record ends beyond the file: %w", errDamaged)
	}
	if int(keySize) != len(key) {
		return nil, false, nil
	}
	if valueSize > limit {
		return nil, false, fmt.Errorf("a value of %d bytes: %w", valueSize, errDamaged)
	}
	record := make([]byte, int(keySize)+int(valueSize))
	if _, err := file.ReadAt(record, pos); err != nil {
		return nil, false, err
	}
	return record[keySize:], bytes.Equal(record[:keySize], key), nil
}

// pairAt reads two numbers.
func pairAt(file io.ReaderAt, size, pos int64) (a, b uint32, err error) {
	if pos+pairSize > size {
		return 0, 0, fmt.Errorf("%d of %d bytes: %w", size, pos+pairSize, errDamaged)
	}
	var pair [pairSize]byte
	if _, err := file.ReadAt(pair[:], pos); err != nil {
		return 0, 0, err
	}
	return binary.LittleEndian.Uint32(pair[:]), binary.LittleEndian.Uint32(pair[4:]), nil
}
