// Package store is what one node keeps in its data directory: the log of entries (entries.jsonl), the projects
// and their hashed tokens (projects.json), the hub's identity (meta.json) and the admin token (admin.token).
//
// Writes are group-committed: one goroutine takes what is waiting, writes it in one piece, syncs, and only then
// moves the watermark and answers. Reads go to the file (or to a bounded cache of the newest entries), never
// through that goroutine, and see nothing beyond the watermark. docs/format.md describes the files.
package store
