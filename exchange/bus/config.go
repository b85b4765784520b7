package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const (
	defaultMessageBytes = 1 << 20
	defaultLogBytes     = 2 << 30
	defaultReadWait     = 200 * time.Millisecond
)

// Config says which broker to use and where the limits are.
type Config struct {
	// URL is "embedded:DIR", or "kafka://HOST:PORT[,HOST:PORT...][?option=value&...]" with the options
	// sasl (plain, scram-sha-256, scram-sha-512), user, password_file, tls (true or false),
	// ca_file, cert_file and key_file (PEM, with tls=true).
	URL string
	// Logger gets the warnings of the embedded broker. Required.
	Logger *slog.Logger
	// MaxMessageBytes limits key, value and headers of one message together. Default 1 MiB.
	MaxMessageBytes int
	// MaxLogBytes caps what the embedded log holds and Trim has not deleted. Default 2 GiB.
	// After a crash the embedded broker reads all of it into memory: keep it well below the RAM.
	MaxLogBytes int64
	// ReadWait is how long Reader.Next waits for the first message. Default 200 ms.
	ReadWait time.Duration
}

// withDefaults fills in what is zero and refuses what makes no sense.
func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		return c, errors.New("bus: Config.Logger is missing")
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMessageBytes
	}
	if c.MaxLogBytes == 0 {
		c.MaxLogBytes = defaultLogBytes
	}
	if c.ReadWait == 0 {
		c.ReadWait = defaultReadWait
	}
	if c.MaxMessageBytes < 0 || c.MaxMessageBytes > maxInFlight {
		return c, fmt.Errorf("bus: Config.MaxMessageBytes %d is not between 1 and %d", c.MaxMessageBytes, maxInFlight)
	}
	if c.MaxLogBytes < 0 || c.ReadWait < 0 {
		return c, errors.New("bus: Config.MaxLogBytes and Config.ReadWait must not be negative")
	}
	return c, nil
}

// target is a parsed Config.URL: dir for the embedded broker, brokers and the rest for a real one.
type target struct {
	dir          string
	brokers      []string
	sasl         string
	user         string
	passwordFile string
	tls          bool
	caFile       string
	certFile     string
	keyFile      string
}

// parseURL reads Config.URL. It does not go through net/url for the host part,
// which knows no lists of hosts.
func parseURL(raw string) (target, error) {
	if dir, ok := strings.CutPrefix(raw, "embedded:"); ok {
		if dir == "" {
			return target{}, errors.New(`bus: URL "embedded:" names no folder; write embedded:DIR`)
		}
		return target{dir: dir}, nil
	}
	rest, ok := strings.CutPrefix(raw, "kafka://")
	if !ok {
		return target{}, errors.New("bus: URL must begin with embedded: or kafka://")
	}
	hosts, query, _ := strings.Cut(rest, "?")
	t := target{brokers: strings.Split(strings.TrimSuffix(hosts, "/"), ",")}
	for _, h := range t.brokers {
		host, port, ok := cutPort(h)
		if !ok || host == "" || port == "" || strings.Trim(port, "0123456789") != "" || strings.ContainsAny(host, "/@ ") {
			return target{}, fmt.Errorf("bus: URL: broker %q is not HOST:PORT", h)
		}
	}
	options, err := url.ParseQuery(query)
	if err != nil {
		return target{}, fmt.Errorf("bus: URL: options: %w", err)
	}
	for key, values := range options {
		if len(values) != 1 {
			return target{}, fmt.Errorf("bus: URL: option %q is given %d times", key, len(values))
		}
		if err := t.set(key, values[0]); err != nil {
			return target{}, err
		}
	}
	if (t.sasl == "") != (t.user == "") || (t.sasl == "") != (t.passwordFile == "") {
		return target{}, errors.New("bus: URL: sasl, user and password_file go together")
	}
	if (t.certFile == "") != (t.keyFile == "") {
		return target{}, errors.New("bus: URL: cert_file and key_file go together")
	}
	if !t.tls && t.caFile+t.certFile != "" {
		return target{}, errors.New("bus: URL: ca_file and cert_file need tls=true")
	}
	return t, nil
}

// cutPort splits at the last colon, so that [::1]:9092 works.
func cutPort(hostport string) (host, port string, ok bool) {
	i := strings.LastIndexByte(hostport, ':')
	if i < 0 {
		return "", "", false
	}
	return hostport[:i], hostport[i+1:], true
}

func (t *target) set(key, value string) error {
	switch key {
	case "sasl":
		if !slices.Contains([]string{"plain", "scram-sha-256", "scram-sha-512"}, value) {
			return fmt.Errorf("bus: URL: sasl %q is not one of plain, scram-sha-256, scram-sha-512", value)
		}
		t.sasl = value
	case "user":
		t.user = value
	case "password_file":
		t.passwordFile = value
	case "tls":
		if value != "true" && value != "false" {
			return fmt.Errorf("bus: URL: tls %q is neither true nor false", value)
		}
		t.tls = value == "true"
	case "ca_file":
		t.caFile = value
	case "cert_file":
		t.certFile = value
	case "key_file":
		t.keyFile = value
	default:
		return fmt.Errorf("bus: URL: unknown option %q", key)
	}
	return nil
}

// mechanism reads the password and makes the SASL mechanism, nil if none is wanted.
func (t target) mechanism() (sasl.Mechanism, error) {
	if t.sasl == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(t.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("bus: password file: %w", err)
	}
	password := strings.TrimRight(string(raw), "\r\n")
	switch t.sasl {
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, t.user, password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, t.user, password)
	}
	return plain.Mechanism{Username: t.user, Password: password}, nil
}

// tlsConfig reads the certificates, nil if TLS is off.
func (t target) tlsConfig() (*tls.Config, error) {
	if !t.tls {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.caFile != "" {
		pem, err := os.ReadFile(t.caFile)
		if err != nil {
			return nil, fmt.Errorf("bus: ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("bus: ca_file %s holds no PEM certificate", t.caFile)
		}
	}
	if t.certFile != "" {
		pair, err := tls.LoadX509KeyPair(t.certFile, t.keyFile)
		if err != nil {
			return nil, fmt.Errorf("bus: cert_file and key_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
