package store

import dto "github.com/prometheus/client_model/go"

// Usage is what the store's work adds up to since it was opened. Bytes.
type Usage struct {
	Syncs       uint64  // of the write-ahead log
	SyncSeconds float64 // that they took together
	LogBytes    uint64  // written to the write-ahead log
	Written     uint64  // written at all: log, flushes and compactions
	DiskBytes   uint64  // that the directory takes now
}

// Usage tells what the store has done so far. It costs some microseconds.
func (s *Store) Usage() Usage {
	m := s.DB.Metrics()
	total := m.Total()
	u := Usage{
		LogBytes: m.WAL.BytesWritten, DiskBytes: m.DiskSpaceUsage(),
		Written: total.TableBytesFlushed + total.TableBytesCompacted + total.BlobBytesFlushed + total.BlobBytesCompacted, // the log is in it
	}
	var latency dto.Metric
	if h := m.LogWriter.FsyncLatency; h != nil && h.Write(&latency) == nil {
		u.Syncs, u.SyncSeconds = latency.GetHistogram().GetSampleCount(), latency.GetHistogram().GetSampleSum()/1e9
	}
	return u
}
