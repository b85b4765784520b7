package ofd_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"image"
	"image/color"
	"image/png"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
	"github.com/onewindow/onewindow/signing/typeface"
)

// signedAt is the present: other people's programs sign with the clock.
var signedAt = time.Now().UTC().Truncate(time.Second)

// world is a certification authority, a maker of seals and two signers with
// seals of their own.
type world struct {
	root, maker         crypto.Signer
	rootCert, makerCert []byte
	trust               *pki.Trust
	signers             []signer
}

type signer struct {
	key        crypto.Signer
	cert, seal []byte
}

func newKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{root: newKey(tb), maker: newKey(tb)}
	w.rootCert = w.certify(tb, w.root, "根证书", true)
	w.makerCert = w.certify(tb, w.maker, "制章中心", false)
	for _, name := range []string{"攸县行政审批服务局", "攸县市场监督管理局"} {
		s := signer{key: newKey(tb)}
		s.cert = w.certify(tb, s.key, name, false)
		var err error
		s.seal, err = ses.MakeSeal(ses.SealSpec{
			Kind: ses.KindUnit, Name: name + "行政审批专用章", Certificates: [][]byte{s.cert},
			Created: signedAt.AddDate(0, -1, 0), ValidFrom: signedAt.AddDate(0, -1, 0), ValidUntil: signedAt.AddDate(1, 0, 0),
			Picture: ses.Picture{Type: "PNG", Data: ring(tb), Width: 42, Height: 42},
		}, w.maker, w.makerCert)
		if err != nil {
			tb.Fatal(err)
		}
		w.signers = append(w.signers, s)
	}
	var err error
	if w.trust, err = pki.NewTrust(pki.TrustConfig{Roots: [][]byte{w.rootCert}}); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *world) certify(tb testing.TB, key crypto.Signer, name string, isCA bool) []byte {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: signedAt.AddDate(-1, 0, 0), NotAfter: signedAt.AddDate(3, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		BasicConstraintsValid: true, IsCA: isCA,
	}
	parent := template
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	} else {
		root, err := smx509.ParseCertificate(w.rootCert)
		if err != nil {
			tb.Fatal(err)
		}
		parent = root.ToX509()
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Public(), w.root)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// ring is a picture of a seal: a red ring on nothing.
func ring(tb testing.TB) []byte {
	tb.Helper()
	const n = 200
	img := image.NewNRGBA(image.Rect(0, 0, n, n))
	for y := range n {
		for x := range n {
			if d := (x-n/2)*(x-n/2) + (y-n/2)*(y-n/2); d < 98*98 && d > 90*90 {
				img.Set(x, y, color.NRGBA{230, 0, 18, 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

var faces sync.Map

// face loads the font once for all tests.
func face(tb testing.TB) *typeface.Face {
	tb.Helper()
	path := peer.Face(tb)
	load, _ := faces.LoadOrStore(path, sync.OnceValues(func() (*typeface.Face, error) { return typeface.Load(path) }))
	f, err := load.(func() (*typeface.Face, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// foodLicense is a licence as a county issues it.
func foodLicense() ofd.License {
	return ofd.License{
		Title: "食品经营许可证", Number: "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
		IssuerName: "攸县市场监督管理局",
		Fields: []ofd.Field{
			{Name: "许可证编号", Value: "JY14302230012345"},
			{Name: "经营者名称", Value: "攸县渌田镇老街米粉店"},
			{Name: "统一社会信用代码", Value: "92430223MA4L1AB23X"},
			{Name: "法定代表人（负责人）", Value: "刘建国"},
			{Name: "经营场所", Value: "湖南省株洲市攸县渌田镇解放路 128 号一楼"},
			{Name: "主体业态", Value: "餐饮服务经营者（小型餐饮）"},
			{Name: "经营项目", Value: "热食类食品制售；冷食类食品制售（不含裱花蛋糕、生食海产品）；自制饮品制售（普通类）；预包装食品销售（含冷藏冷冻食品），散装食品销售（不含散装熟食），特殊食品销售（保健食品）。"},
			{Name: "日常监督管理机构", Value: "攸县市场监督管理局渌田所\n投诉举报电话：12345"},
		},
		QR:        "https://hub.example.gov.cn/v/1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
		IssueDate: "2026年11月22日", ValidUntil: "2031年11月21日",
		Metadata: []ofd.CustomData{{Name: "ZZBH", Value: "JY14302230012345"}, {Name: "ZZBFJGDM", Value: "11430000006122244L"}},
		Created:  signedAt,
	}
}

func page(tb testing.TB, l ofd.License) []byte {
	tb.Helper()
	draft, err := ofd.LicensePage(l, face(tb))
	if err != nil {
		tb.Fatal(err)
	}
	file, err := draft.Write(face(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return file
}
