package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/ofd"
	"github.com/onewindow/onewindow/signing/sdjwt"
	"github.com/onewindow/onewindow/signing/service"
)

// TestVerifyNamesWhatAFileIs runs the command on files of every kind: what is no
// licence is named with what is expected, a file without seals and one that cannot
// be read are different answers, and what was not checked is said.
func TestVerifyNamesWhatAFileIs(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	ctx, api := serveSigning(t)
	made, err := api.MakeSeal(ctx, &signingv1.MakeSealRequest{RequestId: "1", Department: sealingDepartment, Name: "示例县市场监督管理局"})
	if err != nil {
		t.Fatal(err)
	}
	page, err := api.SealPage(ctx, &signingv1.SealPageRequest{
		SealId: made.GetSeal().GetId(), Title: "食品经营许可证", Number: "1", IssuerName: "示例县市场监督管理局", Qr: "1", IssueDate: "2026年1月1日",
		Fields: []*signingv1.Field{{Name: "经营者", Value: "示例"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{"iss": "https://hub.example", "vct": "urn:test", "iat": time.Now().Unix()})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := api.SignTokens(ctx, &signingv1.SignTokensRequest{Line: service.LineLicense, Type: sdjwt.TokenType, Payloads: [][]byte{payload}})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := api.GetTrust(ctx, &signingv1.GetTrustRequest{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := api.GetRevocationList(ctx, &signingv1.GetRevocationListRequest{Authority: "sm2"})
	if err != nil {
		t.Fatal(err)
	}
	element := func(name, inner string) string {
		return "<" + name + ` xmlns="` + ofd.Namespace + `">` + inner + "</" + name + ">"
	}
	plain := func(more string) []byte {
		return zipOf(t, map[string]string{
			"OFD.xml": element("OFD", `<DocBody><DocRoot>D.xml</DocRoot>`+more+`</DocBody>`), "P.xml": element("Page", ""),
			"D.xml": element("Document", `<CommonData/><Pages><Page ID="1" BaseLoc="P.xml"/></Pages>`),
		})
	}
	changed := append([]byte(nil), page.GetFile()...)
	changed[len(changed)/2] ^= 1
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots := write("trust.pem", trust.GetData())
	crl := write("sm2.crl", list.GetData())
	const expected = "neither an OFD file nor a licence token"
	for name, c := range map[string]struct {
		file []byte
		args []string
		code int
		says []string
	}{
		"PNG":             {pngOf(t, 4), nil, exitUsage, []string{"a PNG file", expected}},
		"PDF":             {[]byte("%PDF-1.7"), nil, exitUsage, []string{"a PDF file", expected}},
		"text":            {[]byte("营业执照"), nil, exitUsage, []string{"a text", expected}},
		"empty":           {nil, nil, exitUsage, []string{"an empty file", expected}},
		"zip":             {zipOf(t, map[string]string{"a": "b"}), nil, exitFault, []string{"cannot be read", "a zip archive without OFD.xml"}},
		"zip, cut short":  {page.GetFile()[:500], nil, exitFault, []string{"cannot be read", "zip directory"}},
		"OFD, no seal":    {plain(""), nil, exitFault, []string{"has no seal and no signature"}},
		"OFD, seals lost": {plain("<Signatures>S.xml</Signatures>"), nil, exitFault, []string{"whether it has a seal is unknown", "part not found"}},
		"OFD, changed":    {changed, nil, exitFault, []string{"It does not hold"}},
		"OFD":             {page.GetFile(), nil, exitOK, []string{"- signature.signer_revocation", "- license.status", "not checked", "\nvalid\n"}},
		"OFD and a list":  {page.GetFile(), []string{"-crl", crl}, exitOK, []string{"✓ signature.signer_revocation", "- license.status", "\nvalid\n"}},
		"token":           {[]byte(tokens.GetTokens()[0] + "~\n"), nil, exitOK, []string{"- certificate.revocation", "- license.status", "valid"}},
		"token, changed":  {[]byte(strings.Replace(tokens.GetTokens()[0], ".", ".e", 1) + "~"), nil, exitFault, []string{"It does not hold"}},
	} {
		said := write("out", nil)
		out, err := os.Create(said)
		if err != nil {
			t.Fatal(err)
		}
		var errs strings.Builder
		args := append([]string{"verify", "-trust", roots}, c.args...)
		code := dispatch(t.Context(), append(args, write("file", c.file)), out, &errs)
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(said)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.says {
			if code != c.code || !strings.Contains(string(text)+errs.String(), want) {
				t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", name, code, c.code, want, text, errs.String())
			}
		}
	}
	var errs strings.Builder
	if code := dispatch(t.Context(), []string{"verify", "-trust", write("x.png", pngOf(t, 4)), roots}, os.Stdout, &errs); code != exitUsage || !strings.Contains(errs.String(), "without certificates") {
		t.Errorf("a PNG to trust: %d, %s", code, errs.String())
	}
}
