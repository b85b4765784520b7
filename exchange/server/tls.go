package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/onewindow/onewindow/exchange/access"
)

// certificateKey is the metadata key with which the gateway passes on who the
// client certificate of a REST call names. It counts on the in-memory
// connection alone: from outside anybody could send it. ("-bin": names may be
// Chinese, which plain metadata cannot carry.)
const certificateKey = "x-onewindow-certificate-bin"

// outerTLS is TLS for the connections from outside; the gateway's own goes
// through memory and stays plain.
func outerTLS(cfg *tls.Config) credentials.TransportCredentials {
	if cfg == nil {
		return insecure.NewCredentials()
	}
	return splitCredentials{credentials.NewTLS(cfg)}
}

type splitCredentials struct {
	credentials.TransportCredentials
}

// ServerHandshake skips TLS for the in-memory connection.
func (s splitCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if inMemory(conn.LocalAddr()) {
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return s.TransportCredentials.ServerHandshake(conn)
}

// Clone keeps the exception.
func (s splitCredentials) Clone() credentials.TransportCredentials {
	return splitCredentials{s.TransportCredentials.Clone()}
}

func inMemory(address net.Addr) bool { return address != nil && address.Network() == "bufconn" }

// byCertificate finds the caller by the client certificate, if there is one.
func (c *calls) byCertificate(ctx context.Context) (access.Identity, bool) {
	from, ok := peer.FromContext(ctx)
	if c.certificates == nil || !ok {
		return access.Identity{}, false
	}
	if inMemory(from.Addr) {
		names := metadata.ValueFromIncomingContext(ctx, certificateKey)
		if len(names) != 1 {
			return access.Identity{}, false
		}
		return c.certificates(names[0])
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return access.Identity{}, false
	}
	name, ok := verifiedName(info.State.VerifiedChains)
	if !ok {
		return access.Identity{}, false
	}
	return c.certificates(name)
}

// certificateMetadata is what the gateway passes on of the client certificate.
func certificateMetadata(r *http.Request) metadata.MD {
	if r.TLS == nil {
		return nil
	}
	name, ok := verifiedName(r.TLS.VerifiedChains)
	if !ok {
		return nil
	}
	return metadata.Pairs(certificateKey, name)
}

// verifiedName is the common name of a certificate whose chain TLS verified.
func verifiedName(chains [][]*x509.Certificate) (string, bool) {
	if len(chains) == 0 || len(chains[0]) == 0 {
		return "", false
	}
	name := chains[0][0].Subject.CommonName
	return name, name != ""
}
