// Package files reads files that a department leaves in a folder, on this
// machine or behind SFTP: CSV, JSON lines, Excel (.xlsx), DBF and XML. Nothing
// in the folder is written; files are moved only if the definition names an
// archive or a quarantine, which are folders within it.
//
// Order. Files whose names match the pattern are read in the order of their
// names, each to its end, so names must grow (resident-20251103.csv). A file
// that appears with a name before one that was already read is reported
// (FILE_OUT_OF_ORDER) when everything else is read. With an archive there is
// no such fault: what was read is gone, so a late file is simply read, and a
// name may come again.
//
// After a restart the number and the digest of the names tell whether one came
// meanwhile; if some were cleared away, that cannot be told.
//
// Complete files only. A file is read when its size and modification time are
// the same in two polls some seconds apart and, if it has lines, it ends with a line end or is
// unchanged for a minute. Later files wait for it. One that keeps changing for
// ten minutes, or stops in the middle, is reported (FILE_INCOMPLETE).
//
// Positions. Files of lines may grow: the position holds how far the newest was
// read and the SHA-256 of those bytes, and a file that only grew is read on.
// Other formats are read as a whole, under the hash of all bytes, after a first
// pass that gives no rows: a broken file gives none. A file that changed is read
// again from its beginning, which is harmless because unchanged rows keep their
// record ids. Changes of older files are not seen.
//
// Broken files. One that is not of its format (FILE_BROKEN), beyond the limits
// (TOO_LARGE), or XML with a document type (FORBIDDEN_CONTENT) goes into
// quarantine, with an error in the log, and the next one is read; without a
// quarantine it is reported and waited for. No such verdict falls before the
// file has rested for a minute, or ten if it may only be cut short.
//
// The archive. A file moves there when all its rows are acknowledged and it has
// not changed since, one of lines when it has also rested for a minute. The position lists files that are read and not yet moved,
// so that after a crash they are moved and not read again. If a name is taken,
// a number is put behind it ("rows.csv-2"). Nobody should write to a file once
// it is in the folder: deliver under another name and rename.
//
// Characters. Lines are cut at 0x0A and XML at ">", which are part of no other
// character in any charset here; everything else happens after decoding.
// Bytes that are not of the charset reject their row and are never replaced.
// A byte-order mark says UTF-8 even in a file declared as GBK. XML says its
// charset itself; DBF is believed if it says Chinese and the definition nothing.
//
// Rows. CSV follows RFC 4180 as encoding/csv reads it; an unclosed quote costs
// one line. Columns that the mapping needs and the file lacks reject every row
// of that file (COLUMN_CHANGED); where no header says what there is (JSON,
// XML), an absent column is null. A file of which no row can be made, whatever
// its head, is a fault: README.md has the table. Numbers keep their digits as stored; in Excel,
// cells with the format of a date become ISO 8601 dates, and errors and
// formulas without result reject their row. Rows of more than
// [connectors.MaxRowBytes] are rejected with their head; deleted DBF records
// are left out and counted in the log; memo columns cannot be mapped. Merged cells
// below the head are filled from the first of their column, with a finding.
//
// Scan reads the archive and the folder, oldest delivery first: of rows with the
// same key the last one holds. A file that is not complete is a fault behind all
// rows, except for a last line without end. What does not come is not known to be deleted.
//
// Memory is bounded: one row and one read, for Excel also its shared texts (up to
// 48 MB), and the parts of an archive are counted before they are unzipped.
// Files behind SFTP are read in ranges, those read as a whole by way of a
// temporary file of up to 2 GB, which has no name where the system allows that.
package files
