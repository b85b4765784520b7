package main

// rssUnit is what getrusage counts resident memory in: kilobytes on Linux.
const rssUnit = 1 << 10
