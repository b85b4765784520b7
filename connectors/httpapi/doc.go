// Package httpapi reads rows from a department's HTTP interface, piece by piece:
//
//	page     GET url?page=N&size=M                    N from first_page on; a page with fewer than M rows is the last
//	offset   GET url?offset=R&size=M                  R is the number of rows before, from first_row on
//	cursor   GET url, then url?cursor=C               C is a member of the answer before; none, or null: the last
//	link     GET url, then what the Link header       names with rel="next" (RFC 8288), or what a member names
//	since    GET url, then url?since=V                V is the greatest value of a column so far
//
// What was last is asked for again at every poll, and what was added to it, or comes behind it, is read. So the
// interface has to keep the order of its rows and add new ones at the end, except with since. What does not hold is
// noticed: rows that were read and are gone are a fault, told once; then the last page is read again and the batch
// says that there was a gap. Rows that changed their place within a page make that page be read again. Pages,
// cursors or links that repeat, however long the loop, are a fault instead of being read for ever.
//
// Where the list ends may be told by a member of the answer instead (total, pages, more, last), by an empty page, or by a
// certain cursor; 204, and behind a full page 404 and 416, end it as well. README.md shows each. It is noticed, as a
// fault, when the answer says that there are more rows than were read, when a page lies behind the one that was taken
// for the last (asked once after Open), when there is a page 0 that was not named, when a page ends up with rows that the
// one before had, and when one begins with another row than it did. If rows moved so, the list is read again from its
// first page.
//
// With order newest_first new rows come in front. Each poll reads from the first page to one on which every row was read
// by an earlier poll; that is known of some 50,000 rows, and after a restart of the first 128. Rows that change in their
// place are not seen so, only by a comparison of the whole.
//
// An answer with the status 200 may be an error. ok names the member that says so; without it, an answer that has no
// rows is judged by the members by which interfaces usually say so.
//
// Since: the first question has no since parameter. Values are compared, never computed with: numbers as numbers,
// everything else as text, so stamps have to sort as text; one that lies days ahead of our clock does not count. For
// rows that became visible late, once per Overlap the interface is asked again from the value that was the greatest
// Overlap before it was last asked so (the first time: everything). Rows that did not change meanwhile are not handed
// on again as far as memory goes (some 100,000 rows); beyond that, and after a restart, their ids make repetition
// harmless. The answer may itself come in pages; if it does not, and is cut by the interface, the next question
// follows at once. Without page_param the interface has to give the lowest values first; one that does not, or cuts in
// the middle of one value at size rows, cannot be read on: a fault.
//
// A limit of the interface's own, below size, would end the reading at the first page: once after Open the page behind
// a short one is asked for, and rows there are a fault.
//
// Scan asks from the beginning, with since as well: without the parameter. Rows come in the interface's order. What
// does not come is not known to be deleted.
//
// Links are followed to the same scheme and host only; a saved link is without those parameters that the definition's
// URL has with the same values, which may be secrets. Redirects are not followed. POST is not supported.
//
// An answer may be compressed; it is read up to 16 MiB. Its character set is that of its Content-Type (GBK, GB 18030,
// Big5), else UTF-8, as JSON has it; ISO-8859-1, which servers declare by habit, is taken for UTF-8. A row that is not
// an object, or not of the character set, is rejected alone; nothing is taken of an answer that is not JSON. Values
// keep the digits of the answer; a member that is missing is a null, one that holds an object or array is its text.
//
// The server's certificate has to be issued by those in ca_file, or by those whom this machine trusts. A request takes
// Limits.QueryTime at most. 429 and 503 with a Retry-After of up to a minute are waited for, once.
//
// # Who asks
//
// With token_file, or with oauth2 (client credentials), requests carry "Authorization: Bearer …". A token of oauth2
// is fetched anew before it expires, and once if the interface answers 401.
//
// With hmac, requests are signed: Base64(HMAC(secret, text)) with SHA-256 or SM3, where text is, joined by line feeds
//
//	the method, in capital letters
//	the path, as it is escaped in the request; "/" if it is empty
//	the parameters of the query as they stand in the request, sorted by their bytes, joined by "&"
//	the time, in milliseconds since 1970 (header X-Timestamp)
//	the nonce, 32 hexadecimal digits (header X-Nonce)
//	the digest of the body, with the same hash, in lower-case hexadecimal digits; the body is empty
//
// For GET /api/rows?size=2&page=1&unit=%E6%B0%91%E6%94%BF at 1762128000000 with the nonce
// 000102030405060708090a0b0c0d0e0f, the text to sign with SHA-256 is
//
//	GET
//	/api/rows
//	page=1&size=2&unit=%E6%B0%91%E6%94%BF
//	1762128000000
//	000102030405060708090a0b0c0d0e0f
//	e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
//
// and its signature with the secret "secret" zkBGzmQcz9mtcy3WFFRyDuLmuAXE8UQqUfZfy7JUlHo=;
// with SM3, whose digest of the empty body is
// 1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b, it is
// 7f0LOS9M9EKL/WE8e43E7rawenoUo9JmzHGH3C2bdQU=.
package httpapi
