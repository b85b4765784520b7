package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of 64 MB in a mount namespace of its own.
type smallDisk struct {
	holder *exec.Cmd // keeps the namespace while hubs come and go
	mount  string    // in the namespace
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	d := &smallDisk{mount: filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	d.holder = exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs -o size=64m tmpfs "$0" && echo mounted && exec cat`, d.mount)
	input, err := d.holder.StdinPipe() // its end is the holder's
	if err != nil {
		t.Fatal(err)
	}
	output, err := d.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.holder.Start(); err != nil {
		missing(t, "unshare: %v", err)
	}
	t.Cleanup(func() { _ = errors.Join(input.Close(), d.holder.Wait()) })
	said := make([]byte, len("mounted\n"))
	if _, err := io.ReadFull(output, said); err != nil {
		missing(t, "a file system of 64 MB needs root and a mount namespace: %v", err)
	}
	return d
}

// path is where this process sees a file of the disk.
func (d *smallDisk) path(name string) string {
	return filepath.Join("/proc", fmt.Sprint(d.holder.Process.Pid), "root", d.mount, name)
}

// fill uses the disk up to a share of it, in percent, by one file.
func (d *smallDisk) fill(t *testing.T, percent float64) {
	t.Helper()
	if err := os.Remove(d.path("ballast")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	s, err := disk{dir: d.path("")}.measure()
	if err != nil {
		t.Fatal(err)
	}
	total := float64(s.free) / (1 - s.used/100)
	if err := os.WriteFile(d.path("ballast"), make([]byte, max(0, int(total*(percent-s.used)/100))), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// diskHub is a hub on the small disk.
type diskHub struct {
	t    *testing.T
	disk *smallDisk
	cfg  string
	rest string
	cmd  *exec.Cmd
	log  bytes.Buffer
	acks int // records acknowledged
}

func (h *diskHub) start() {
	h.t.Helper()
	executable, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	h.log.Reset()
	h.cmd = exec.Command("nsenter", "-t", fmt.Sprint(h.disk.holder.Process.Pid), "-m", executable, "run", "--config", h.cfg)
	h.cmd.Env = append(os.Environ(), asProgram+"=1")
	h.cmd.Stdout, h.cmd.Stderr = &h.log, &h.log
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if h.cmd.ProcessState == nil {
			h.kill()
		}
	})
	h.until("the hub answers", func() bool { code, _ := h.ask(http.MethodGet, "/readyz", ""); return code == http.StatusOK })
}

func (h *diskHub) kill() {
	_ = h.cmd.Process.Kill() // nsenter has become the hub
	_ = h.cmd.Wait()
}

// until asks again until it is so; the hub's own pace, at most a minute.
func (h *diskHub) until(what string, is func() bool) {
	h.t.Helper()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-deadline:
			h.t.Fatalf("not within a minute: %s\n%s", what, h.log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (h *diskHub) ask(method, path, body string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.rest+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token, err := os.ReadFile(h.disk.path("data/tokens/administrator.token")); err == nil {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// push sends 20 new records of 1 kB and returns the answer.
func (h *diskHub) push() (int, string) {
	h.t.Helper()
	var records []string
	for i := range 20 {
		records = append(records, fmt.Sprintf(`{"key":"k%d","eventTime":"2026-11-22T08:00:00Z","payload":{"text":%q}}`, h.acks+i, strings.Repeat("x", 1000)))
	}
	code, text := h.ask(http.MethodPost, "/v1/resources/market.small/records:push", `{"records":[`+strings.Join(records, ",")+`]}`)
	if code == http.StatusOK {
		h.acks += len(records)
	}
	return code, text
}

// status returns what /readyz says: the status, and the warning of a part.
func (h *diskHub) status(part string) (status, warning string) {
	h.t.Helper()
	code, text := h.ask(http.MethodGet, "/readyz", "")
	var report struct {
		Status string
		Parts  []struct{ Name, Warning string }
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil || code != http.StatusOK {
		h.t.Fatalf("/readyz: %d %s %v", code, text, err)
	}
	for _, p := range report.Parts {
		if p.Name == part {
			warning = p.Warning
		}
	}
	return report.Status, warning
}

// awaitDisk waits until /readyz, which looks once a second, has seen the disk.
func (h *diskHub) awaitDisk(warning string) {
	h.t.Helper()
	h.until("/readyz says "+warning, func() bool { _, got := h.status("disk"); return got == warning })
	_, text := h.ask(http.MethodGet, "/readyz", "")
	h.t.Logf("readyz: %s", strings.TrimSpace(text))
}

// stored is how many rows the engine has, each distinct.
func (h *diskHub) stored() int {
	h.t.Helper()
	code, text := h.ask(http.MethodGet, "/v1/storage", "")
	var storage struct{ StoredRows, StoredDistinct string }
	if err := json.Unmarshal([]byte(text), &storage); err != nil || code != http.StatusOK {
		h.t.Fatalf("storage: %d %s %v", code, text, err)
	}
	rows := 0
	_, _ = fmt.Sscan(storage.StoredRows, &rows) // 0 if it is no number, which the caller waits out
	if storage.StoredRows != storage.StoredDistinct {
		h.t.Errorf("rows stored twice: %s", text)
	}
	return rows
}

// TestHubOnAFullDisk fills a file system of 64 MB under a hub, step by step; -v
// prints what /readyz and the pushes say.
func TestHubOnAFullDisk(t *testing.T) {
	needEngine(t)
	for _, tool := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "%s is not installed", tool)
		}
	}
	h := &diskHub{t: t, disk: newSmallDisk(t), cfg: filepath.Join(t.TempDir(), "onewindow.yaml")}
	var addresses [2]string
	for i := range addresses {
		free, err := freeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		addresses[i] = free
	}
	h.rest = "http://" + addresses[0]
	text := fmt.Sprintf("data: %s/data\nbase_url: %s\nlisten: {rest: %q, grpc: %q}\n", h.disk.mount, h.rest, addresses[0], addresses[1])
	if err := os.WriteFile(h.cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	for _, put := range [][2]string{
		{"/v1/departments/market", `{"title":"市场监督管理局","uscc":"11430000006122244L","region":"330000"}`},
		{"/v1/resources/market.small", `{"title":"小表","kind":"RECORD_KIND_REGISTER","shareType":"SHARE_TYPE_UNCONDITIONAL","schema":{"type":"object"}}`},
	} {
		if code, answer := h.ask(http.MethodPut, put[0], put[1]); code != http.StatusOK {
			t.Fatalf("%s: %d %s", put[0], code, answer)
		}
	}

	mustPush := func(step string) {
		t.Helper()
		if code, answer := h.push(); code != http.StatusOK {
			t.Fatalf("%s: %d %s", step, code, answer)
		}
	}
	mustRefuse := func(step string) {
		t.Helper()
		code, answer := h.push()
		t.Logf("%s: %d %s", step, code, answer)
		if code != http.StatusInsufficientStorage || !strings.Contains(answer, `"reason":"DISK_FULL"`) {
			t.Fatalf("%s: %d %s", step, code, answer)
		}
	}
	if status, warning := h.status("disk"); status != "ready" || warning != "" {
		t.Fatalf("an empty disk: %s, %s", status, warning)
	}
	mustPush("empty")

	h.disk.fill(t, 88)
	h.awaitDisk("DISK_LOW")
	mustPush("nearly full")

	h.disk.fill(t, 96)
	h.awaitDisk("DISK_FULL")
	mustRefuse("full")

	h.disk.fill(t, 110) // to the last byte
	mustRefuse("no byte left")
	if status, _ := h.status("disk"); status != "degraded" {
		t.Errorf("no byte left: %s", status)
	}

	h.disk.fill(t, 20)
	mustPush("room again")
	h.awaitDisk("")
	h.until("all is stored", func() bool { return h.stored() == h.acks })

	// Killed while it was full, it starts again and has everything.
	h.disk.fill(t, 110)
	h.kill()
	h.disk.fill(t, 20)
	h.start()
	mustPush("after the restart")
	h.until("all is stored after a kill", func() bool { return h.stored() == h.acks })
}
