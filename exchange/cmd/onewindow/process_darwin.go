package main

// rssUnit is what getrusage counts resident memory in: bytes on macOS.
const rssUnit = 1
