// Package exchange is the domain of sharing: departments, the catalogue of
// resources and matters, the publishing of records to their topics, lookups,
// and the resolution of materials.
//
// The way of a record: a connector or a push hands in a [Draft]; [Exchange.Publish]
// checks it against the resource's schema and gives it a deterministic id; an
// accepted record travels as a CloudEvent on the topic of its resource, a
// rejected one, with its original bytes and the reason, on [RejectedTopic].
// Publish returns after the broker has both on disk, so a caller that saves
// its position afterwards loses nothing, and one that dies before repeats
// records whose ids make the repetition harmless.
//
// State lives in the state database (SQLite or PostgreSQL); a change and its
// event are one transaction through the [Outbox].
package exchange
