package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/exchange/access"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	"github.com/onewindow/onewindow/proto/message"
)

// startTalking starts a server with the messages of this package and of a domain.
func startTalking(t *testing.T, l message.Language) *hub {
	t.Helper()
	own, err := message.Parse(Messages())
	if err != nil {
		t.Fatal(err)
	}
	domain, err := message.Parse([]byte(`{"reason.RESOURCE_UNKNOWN": {"zh": "资源未编目", "en": "No such resource", "hint_zh": "请核对", "hint_en": "Check it"}}`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := message.Merge(own, domain)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, func(c *Config, _ *catalog) { c.Messages, c.Language = all, l })
}

func TestProblemIsInTheLanguageAskedFor(t *testing.T) {
	h := startTalking(t, "")
	for _, tt := range []struct{ accept, title, hint, language string }{
		{"", "资源未编目", "请核对", "zh"},
		{"en-GB,en;q=0.9", "No such resource", "Check it", "en"},
		{"en;q=0.2, zh-CN;q=0.8", "资源未编目", "请核对", "zh"},
		{"fr", "资源未编目", "请核对", "zh"},
	} {
		a := h.ask("GET", "/v1/resources/market.none", access.Analyst, "", "Accept-Language", tt.accept)
		p := a.problem(t)
		if p.Title != tt.title || p.Hint != tt.hint || p.Detail != "catalog: unknown resource: market.none" || p.Reason != "RESOURCE_UNKNOWN" {
			t.Errorf("%q: %+v", tt.accept, p)
		}
		if a.Header.Get("Content-Language") != tt.language || !slices.Contains(a.Header.Values("Vary"), "Accept-Language") {
			t.Errorf("%q: headers %v", tt.accept, a.Header)
		}
	}
	if p := h.ask("GET", "/nowhere", "", "", "Accept-Language", "en").problem(t); p.Title != "There is nothing at this path" || p.Status != http.StatusNotFound {
		t.Errorf("a problem of the server itself: %+v", p)
	}
}

func TestConfiguredLanguageIsTheDefault(t *testing.T) {
	h := startTalking(t, message.English)
	if p := h.ask("GET", "/v1/resources/market.none", access.Analyst, "").problem(t); p.Title != "No such resource" {
		t.Errorf("%+v", p)
	}
}

func TestStatusHasTheLocalizedMessageAndItsArguments(t *testing.T) {
	h := startTalking(t, "")
	client := exchangev1.NewCatalogServiceClient(h.conn)
	for _, tt := range []struct{ accept, locale, text string }{
		{"en", "en", "The role of this token may not do this. "},
		{"zh", "zh", "当前角色无权执行此操作。"},
	} {
		ctx := metadata.AppendToOutgoingContext(h.as(access.Clerk), "accept-language", tt.accept)
		_, err := client.PutResource(ctx, &exchangev1.PutResourceRequest{})
		var info *errdetails.ErrorInfo
		var localized *errdetails.LocalizedMessage
		for _, detail := range status.Convert(err).Details() {
			switch d := detail.(type) {
			case *errdetails.ErrorInfo:
				info = d
			case *errdetails.LocalizedMessage:
				localized = d
			}
		}
		if localized.GetLocale() != tt.locale || !strings.HasPrefix(localized.GetMessage(), tt.text) {
			t.Errorf("%s: %v", tt.accept, localized)
		}
		if info.GetReason() != "ROLE_NOT_ALLOWED" || info.GetMetadata()["role"] != "clerk" || info.GetMetadata()["request_id"] == "" {
			t.Errorf("%s: %v", tt.accept, info)
		}
	}
}

func TestLanguageOutsideOfACallIsChinese(t *testing.T) {
	if got := Language(context.Background()); got != message.Chinese {
		t.Errorf("%q", got)
	}
}

func TestEveryStatusCodeHasATextInBothLanguages(t *testing.T) {
	all, err := message.Parse(Messages())
	if err != nil {
		t.Fatal(err)
	}
	for code := range uint32(17) {
		if name := codeName(codes.Code(code)); name != "OK" && !all.Has(ReasonPrefix+name) {
			t.Errorf("%s has no text", name)
		}
	}
}
