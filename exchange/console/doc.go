// Package console serves the web page of the hub: what is running, the
// sources, what is stored, licences, the efficiency index, and a box that
// verifies a licence.
//
// The page is four files, embedded as they are written: no build step, no
// address outside the hub, no inline script or style, and a content security
// policy that allows nothing else. It is in Chinese with an English switch
// ("?lang=en"); every text stands once, in both languages, in
// assets/texts.js. It asks the hub's own REST interface every three seconds
// while it is visible.
//
// The files need no token; the figures do. The page takes the token from a
// sign-in box or from the address ("#token=…", removed from the address bar
// at once) and keeps it in sessionStorage, so it is gone with the tab.
package console
