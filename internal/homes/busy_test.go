package homes

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWriterIsSeen(t *testing.T) {
	h := newSSH(t, good)
	if h.expect(Regular).Busy {
		t.Error("busy without a writer")
	}
	reader, err := os.Open(h.keys())
	h.must(err)
	defer reader.Close()
	if h.expect(Regular).Busy {
		t.Error("busy with a reader")
	}
	writer, err := os.OpenFile(h.keys(), os.O_WRONLY, 0)
	h.must(err)
	if !h.expect(Regular).Busy {
		t.Error("a writer is not seen")
	}
	h.must(writer.Close())
	if h.expect(Regular).Busy {
		t.Error("busy after the writer went")
	}
	writer, err = os.OpenFile(h.keys(), os.O_WRONLY, 0) // is not kept waiting by a lease that stayed
	h.must(err)
	h.must(writer.Close())
	h.must(os.Chown(h.keys(), 0, 0))
	h.must(os.Chmod(h.keys(), 0o644))
	if h.expect(Regular).Busy {
		t.Error("no lease on a file of root's means nothing")
	}
}

// With umask 002 a new file is untidy before its maker has written a byte.
func TestWriterKeepsTheFileWhoseModeIsPutRight(t *testing.T) {
	h := newHome(t)
	h.mkdir(h.path(".ssh"), 0o775, testUID)
	h.write(h.keys(), "", 0o664, testUID)
	writer, err := os.OpenFile(h.keys(), os.O_WRONLY, 0)
	h.must(err)
	defer writer.Close()
	file := h.expect(Regular)
	if file.Tidy {
		t.Error("tidy")
	}
	h.must(h.door.Replace(h.Account, keyPath, file.Version, nil))
	_, err = writer.WriteString(good)
	h.must(err)
	h.settled()
	var before unix.Stat_t
	h.must(unix.Lstat(h.keys(), &before))
	h.write(h.keys(), bad, 0o664, testUID) // the same length
	h.enforce(h.expect(Regular))
	var after unix.Stat_t
	h.must(unix.Lstat(h.keys(), &after))
	if len(good) == len(bad) && before.Ino == after.Ino {
		t.Error("other content was left in place")
	}
}
