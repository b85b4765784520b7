package licenses

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/onewindow/onewindow/exchange/server"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/ofd"
)

// TestPage takes the page of a licence through what happens to both: the
// verdict on the file must be that on the licence, and a changed file must not hold.
func TestPage(t *testing.T) {
	onDatabases(t, func(t *testing.T, e env) {
		e.cfg.Pages = openPages(t, e.clock.now)
		err := e.PutType(t.Context(), Type{Code: testType, Title: "食品经营许可证", Disclosable: []string{"address"}, Face: []FaceField{
			{Claim: "scope", Label: "经营项目"}, {Claim: "address", Label: "经营场所"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		q := testRequest("page")
		q.ValidUntil = e.clock.now().Add(48 * time.Hour)
		l := e.mustIssue(t, q)
		page, err := e.Page(asMarket(t), l.Number, "")
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.Page(asMarket(t), l.Number, "")
		if err != nil || !bytes.Equal(page, again) {
			t.Errorf("the original is not the same the second time: %v", err)
		}
		wantFile(t, e, page, VerdictValid, l.Number)

		duplicate, err := e.Page(asMarket(t), l.Number, "办理贷款")
		if err != nil || bytes.Equal(page, duplicate) {
			t.Fatalf("copy for a purpose: %v", err)
		}
		v := wantFile(t, e, duplicate, VerdictValid, l.Number)
		if len(v.Signatures) != 1 || len(v.Signatures[0].GetSteps()) < 10 || v.Signatures[0].GetSealName() == "" {
			t.Errorf("signatures of the copy: %v", v.Signatures)
		}

		changed := slices.Clone(page)
		changed[len(changed)/2] ^= 1
		if v, err := e.VerifyFile(t.Context(), changed); err != nil || v.Verdict == VerdictValid || v.Detail == "" {
			t.Errorf("changed file: %s (%s), %v", v.Verdict, v.Detail, err)
		}
		wantFile(t, e, []byte("PK, but no OFD"), VerdictMalformed, "")

		e.mustChange(t, l.Number, Suspend)
		wantFile(t, e, page, VerdictSuspended, l.Number)
		if _, err := e.Page(asMarket(t), l.Number, ""); !errors.Is(err, ErrState) {
			t.Errorf("page of a suspended licence: %v, want ErrState", err)
		}
		e.mustChange(t, l.Number, Resume)
		e.clock.advance(72 * time.Hour)
		wantFile(t, e, page, VerdictExpired, l.Number)
	})
}

// TestPageOfAnotherLicence seals the number of one licence with the token of
// another: our seal, but not a page of ours.
func TestPageOfAnotherLicence(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	pages := openPages(t, e.clock.now)
	e.cfg.Pages = pages
	l := e.mustIssue(t, testRequest("one"))
	req, err := e.pageRequest(t.Context(), l, e.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range req.GetMetadata() {
		if m.GetName() == metaToken {
			m.Value = strings.Repeat("A", 43)
		}
	}
	file, err := pages.SealPage(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, e, file.GetFile(), VerdictUnknown, l.Number)
}

func TestNoSealNoPage(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	e.cfg.Pages = openPages(t, e.clock.now)
	q := testRequest("water")
	q.Department = "water"
	issued, err := e.BatchIssue(as(t.Context(), "department", "water"), []Request{q})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Page(as(t.Context(), "department", "water"), issued[0].Number, ""); !errors.Is(err, ErrNoSeal) {
		t.Errorf("page without a seal: %v, want ErrNoSeal", err)
	}
}

// TestPageByAPI asks for a page and its picture as a clerk's program does.
func TestPageByAPI(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	e.cfg.Pages = openPages(t, e.clock.now)
	l := e.mustIssue(t, testRequest("api"))
	api := licensesv1.NewLicensesServiceClient(serve(t, e.Service()))
	page, err := api.GetLicensePage(t.Context(), &licensesv1.GetLicensePageRequest{Number: l.Number})
	if err != nil || page.GetContentType() != "application/ofd" {
		t.Fatalf("page: %s, %v", page.GetContentType(), err)
	}
	picture, err := api.GetLicensePage(t.Context(), &licensesv1.GetLicensePageRequest{Number: l.Number, Format: licensesv1.PageFormat_PAGE_FORMAT_PNG})
	if err != nil || picture.GetContentType() != "image/png" || !bytes.HasPrefix(picture.GetData(), []byte("\x89PNG")) {
		t.Errorf("picture: %s, %v", picture.GetContentType(), err)
	}
	resp, err := api.VerifyLicense(t.Context(), &licensesv1.VerifyLicenseRequest{Subject: &licensesv1.VerifyLicenseRequest_File{File: page.GetData()}})
	if err != nil || resp.GetVerdict() != licensesv1.Verdict_VERDICT_VALID || len(resp.GetSignatures()) != 1 {
		t.Fatalf("verdict: %v, %v", resp, err)
	}
	for _, step := range resp.GetSignatures()[0].GetSteps() {
		if step.GetResult() == signingv1.StepResult_STEP_RESULT_FAILED {
			t.Errorf("step %s: %s", step.GetName(), step.GetDetail())
		}
	}
}

// TestFilesWithoutAVerdictSayWhy: “no seal” and “unreadable” are different answers, and another kind of file is named.
func TestFilesWithoutAVerdictSayWhy(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	e.cfg.Pages = openPages(t, e.clock.now)
	l := e.mustIssue(t, testRequest("why"))
	page, err := e.Page(asMarket(t), l.Number, "")
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name string) string { return "<" + name + ` xmlns="` + ofd.Namespace + `">` }
	body := entry("OFD") + `<DocBody><DocRoot>D.xml</DocRoot>%s</DocBody></OFD>`
	document := entry("Document") + `<CommonData/><Pages><Page ID="1" BaseLoc="P.xml"/></Pages></Document>`
	unsigned := zipped(t, map[string]string{"OFD.xml": fmt.Sprintf(body, ""), "D.xml": document, "P.xml": entry("Page") + "</Page>"})
	lost := zipped(t, map[string]string{"OFD.xml": fmt.Sprintf(body, "<Signatures>S.xml</Signatures>"), "D.xml": document, "P.xml": entry("Page") + "</Page>"})
	for name, c := range map[string]struct {
		file         []byte
		verdict      Verdict
		reason, says string
	}{
		"no seal":             {unsigned, VerdictMalformed, ReasonUnsigned, "没有电子印章"},
		"list of seals lost":  {lost, VerdictMalformed, ReasonUnreadable, "签章清单缺失"},
		"document unreadable": {zipped(t, map[string]string{"OFD.xml": fmt.Sprintf(body, "")}), VerdictMalformed, ReasonUnreadable, "无法读取"},
		"zip":                 {zipped(t, map[string]string{"a.txt": "x"}), VerdictMalformed, ReasonUnreadable, "OFD"},
		"cut short":           {page[:len(page)/2], VerdictMalformed, ReasonUnreadable, "OFD"},
		"PNG":                 {[]byte("\x89PNG\r\n\x1a\n"), VerdictMalformed, ReasonUnreadable, "PNG"},
		"PDF":                 {[]byte("%PDF-1.7"), VerdictMalformed, ReasonUnreadable, "PDF"},
		"text":                {[]byte("eyJhbGciOiJ"), VerdictMalformed, ReasonUnreadable, "OFD"},
		"the page":            {page, VerdictValid, "", ""},
	} {
		v, err := e.VerifyFile(t.Context(), c.file)
		if err != nil || v.Verdict != c.verdict || v.Reason != c.reason || !strings.Contains(v.Detail, c.says) {
			t.Errorf("%s: %s, %s (%s), %v", name, v.Verdict, v.Reason, v.Detail, err)
		}
	}
}

func zipped(t *testing.T, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range parts {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPictureOfAPageNamesWhatItLeavesOut keeps a page whose picture misses a part, and looks at the header.
func TestPictureOfAPageNamesWhatItLeavesOut(t *testing.T) {
	e := newEnv(t, "sqlite:"+t.TempDir()+"/state.db")
	e.cfg.Pages = openPages(t, e.clock.now)
	l := e.mustIssue(t, testRequest("notes"))
	page := zipped(t, map[string]string{
		"OFD.xml": `<OFD xmlns="` + ofd.Namespace + `"><DocBody><DocRoot>D.xml</DocRoot></DocBody></OFD>`,
		"D.xml":   `<Document xmlns="` + ofd.Namespace + `"><CommonData/><Pages><Page ID="1" BaseLoc="P.xml"/></Pages></Document>`,
		"P.xml":   `<Page xmlns="` + ofd.Namespace + `"><Content><Layer><ImageObject ID="7" Boundary="0 0 1 1" ResourceID="9"/></Layer></Content></Page>`,
	})
	if _, err := e.cfg.DB.ExecContext(t.Context(), `INSERT INTO license_pages (number, file) VALUES ($1, $2)`, l.Number, page); err != nil {
		t.Fatal(err)
	}
	api := licensesv1.NewLicensesServiceClient(serve(t, e.Service()))
	var header metadata.MD
	_, err := api.GetLicensePage(t.Context(), &licensesv1.GetLicensePageRequest{Number: l.Number, Format: licensesv1.PageFormat_PAGE_FORMAT_PNG}, grpc.Header(&header))
	if got := header.Get(server.NotesHeader); err != nil || !slices.Equal(got, []string{"OFD_IMAGE_MISSING;page=1;object=7"}) {
		t.Errorf("header %q, %v", got, err)
	}
}

func wantFile(t *testing.T, e env, file []byte, want Verdict, number string) Verification {
	t.Helper()
	v, err := e.VerifyFile(t.Context(), file)
	if err != nil || v.Verdict != want || v.Number != number || v.Detail == "" {
		t.Errorf("file: %s of %q (%s), %v; want %s of %q", v.Verdict, v.Number, v.Detail, err, want, number)
	}
	return v
}
