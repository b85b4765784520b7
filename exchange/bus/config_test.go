package bus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]string{ // part of the error, or empty
		"embedded:/var/lib/onewindow/bus": "",
		"kafka://h1:9092":                 "",
		"kafka://h1:9092,h2:9093,[::1]:9?sasl=scram-sha-512&user=u&password_file=/p&tls=true&ca_file=/ca": "",
		"kafka://h1:9092?tls=true&cert_file=/c&key_file=/k":                                               "",
		"":                                     "must begin with",
		"embedded:":                            "names no folder",
		"http://h1":                            "must begin with",
		"kafka://":                             "not HOST:PORT",
		"kafka://h1":                           "not HOST:PORT",
		"kafka://h1:x":                         "not HOST:PORT",
		"kafka://user:secret@h1:9092":          "not HOST:PORT",
		"kafka://h1:9092?password=secret":      `unknown option "password"`,
		"kafka://h1:9092?tls=yes":              "neither true nor false",
		"kafka://h1:9092?tls=true&tls=true":    "given 2 times",
		"kafka://h1:9092?sasl=gssapi":          "not one of",
		"kafka://h1:9092?sasl=plain&user=u":    "go together",
		"kafka://h1:9092?ca_file=/ca":          "need tls=true",
		"kafka://h1:9092?tls=true&key_file=/k": "go together",
	} {
		_, err := parseURL(raw)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", raw, err, want)
		}
	}
	got, err := parseURL("kafka://h1:9092,[::1]:9?sasl=plain&user=u&password_file=/p")
	if err != nil || !slices.Equal(got.brokers, []string{"h1:9092", "[::1]:9"}) || got.sasl != "plain" || got.user != "u" || got.passwordFile != "/p" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("embedded:dir")
	f.Add("kafka://h1:9092,h2:9092?sasl=plain&user=u&password_file=p&tls=true")
	f.Add("kafka://[::1]:9092?%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parseURL(raw)
		if err == nil && (got.dir == "") == (len(got.brokers) == 0) {
			t.Errorf("%q gives neither or both of folder and brokers: %+v", raw, got)
		}
		for _, broker := range got.brokers {
			if err == nil && !strings.Contains(broker, ":") {
				t.Errorf("%q: broker %q", raw, broker)
			}
		}
	})
}

func TestSecretsComeFromFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		m, err := target{sasl: name, user: "u", passwordFile: file}.mechanism()
		if err != nil || !strings.EqualFold(m.Name(), name) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := (target{sasl: "plain", user: "u", passwordFile: file + ".none"}).mechanism(); err == nil {
		t.Error("a password file that is not there gave no error")
	}
	if _, err := (target{tls: true, caFile: file}).tlsConfig(); err == nil || !strings.Contains(err.Error(), "no PEM") {
		t.Errorf("a ca_file without certificate: %v", err)
	}
}
