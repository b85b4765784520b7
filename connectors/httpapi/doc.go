// Package httpapi reads rows from a department's HTTP interface page by page:
//
//	GET url?page=N&size=M    Authorization: Bearer …
//	{"data": [{…}, {…}], …}
//
// Pages are counted from 1. A page with fewer rows than asked for is the
// last; it is asked for again at every poll, and rows that were added to it,
// or to pages behind it, are read. So the interface has to keep the order of
// its rows and add new ones at the end; a page that has become shorter than
// what was read of it is reported as a fault.
//
// Values keep the digits of the answer; a member that is missing is read as
// null, one that holds an object or array as its JSON text. A row that is not
// an object, or not UTF-8, is rejected alone. An answer that is not JSON,
// larger than 32 MiB, a redirect, or any status but 200 is an error with its
// reason, and nothing of that page is taken. An interface that gives the same
// full page twice ignores the page number; it is refused instead of being read
// for ever.
package httpapi
