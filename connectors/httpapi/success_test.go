package httpapi

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
)

// TestCase06CodeBesideEmptyList checks that an error in an answer with the status 200 is a fault with what the interface
// says, whatever stands in place of the rows.
func TestCase06CodeBesideEmptyList(t *testing.T) {
	for body, want := range map[string]string{
		`{"code":401,"msg":"未授权","data":[]}`:                                         `code "401", msg "未授权"`,
		`{"code":401,"msg":"未授权","data":null}`:                                       `code "401", msg "未授权"`,
		`{"code":"401","data":[]}`:                                                   `code "401"`,
		`{"code":50014,"message":"Token 过期","data":[]}`:                              `code "50014"`,
		`{"code":-1,"data":[]}`:                                                      `code "-1"`,
		`{"code":1001,"msg":"签名不正确","data":[]}`:                                      `msg "签名不正确"`,
		`{"code":200,"success":false,"message":"限流","data":[]}`:                      `message "限流"`,
		`{"success":"false","data":[]}`:                                              "it has no rows but reports an error",
		`{"status":"error","data":[]}`:                                               `status "error"`,
		`{"errcode":40001,"errmsg":"invalid credential","data":[]}`:                  `errmsg "invalid credential"`,
		`{"error":"invalid_token","data":[]}`:                                        `error "invalid_token"`,
		`{"resultCode":"E0002","resultMsg":"接口未授权","data":[]}`:                       `resultMsg "接口未授权"`,
		`{"code":500,"msg":"查询身份证11010119900307123X失败","data":[]}`:                   `msg "查询身份证…失败"`,
		`{"code":500,"msg":"` + strings.Repeat("错", 4000) + `","data":[]}`:           "错…",
		`{"code":200,"msg":"操作不成功","ret":1,"data":[],"errno":7}`:                     `errno "7"`,
		`{"returnCode":"9","errorMsg":"appkey is disabled","data":[], "total":null}`: `errorMsg "appkey is disabled"`,
	} {
		def := paged(t, connectors.PagingNumber, func(url.Values) string { return body })
		_, _, err := drain(t, opened(t, def, nil))
		expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, want)
		if err != nil && (len(err.Error()) > 1500 || !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), "19900307")) {
			t.Errorf("%d bytes: %v", len(err.Error()), err)
		}
	}
}

// TestErrorBesideInnerList looks beside the list, not only at the top of the answer.
func TestErrorBesideInnerList(t *testing.T) {
	def := paged(t, connectors.PagingNumber, func(url.Values) string {
		return `{"code":200,"msg":"成功","result":{"resultCode":"99","resultMsg":"无权限","list":[]}}`
	})
	def.HTTP.Records = "result.list"
	_, _, err := drain(t, opened(t, def, nil))
	expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, `resultMsg "无权限"`)
}

// TestEmptyListIsNoError takes what interfaces say beside a list that is rightly empty.
func TestEmptyListIsNoError(t *testing.T) {
	for _, body := range []string{
		`{"data":[]}`, `{"code":0,"data":[]}`, `{"code":200,"msg":"success","data":[]}`, `{"code":"0000","msg":"任何话","data":[]}`, `{"code":20000,"data":[]}`,
		`{"code":1,"msg":"查询成功","data":[]}`, `{"code":"1","data":[]}`, `{"code":404,"data":[{"id":"a"}]}`, `{"status":"OK","data":[]}`, `{"success":true,"code":1,"data":[]}`,
		`{"errcode":0,"errmsg":"ok","data":[]}`, `{"error":null,"data":[]}`, `{"error":false,"data":[]}`, `{"code":1001,"msg":"暂无数据","data":[]}`, `{"code":"A1","msg":"no data","data":[]}`,
		`{"message":"hello","data":[]}`, `{"errorCode":"","data":[]}`,
	} {
		def := paged(t, connectors.PagingNumber, func(q url.Values) string {
			if q.Get("page") != "1" {
				return `{"data":[]}`
			}
			return body
		})
		ids := 0
		if strings.Contains(body, `"a"`) {
			ids = 1
		}
		got, _, err := drain(t, opened(t, def, nil))
		if connectors.CodeOf(err) != connectors.FaultUnclassified || len(got) != ids {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

// TestOKOfTheDefinition judges every answer, with rows or without, by the member that the definition names, and by it alone.
func TestOKOfTheDefinition(t *testing.T) {
	for body, wrong := range map[string]string{
		`{"head":{"ret":"A1"},"data":[{"id":"a"}]}`:              "",
		`{"head":{"ret":"A2"},"data":[]}`:                        "",
		`{"head":{"ret":"A1"},"code":500,"data":[]}`:             "",
		`{"head":{"ret":"B1","msg":"停止服务"},"data":[{"id":"a"}]}`: `its member "head.ret" does not have the value that means success (ok); it says ret "B1", msg "停止服务"`,
		`{"head":{},"data":[{"id":"a"}]}`:                        `its member "head.ret" does not have the value`,
		`{"head":{"ret":["A1"]},"data":[{"id":"a"}]}`:            "neither text nor a number",
		`{"head":{"ret":"11010119900307123X"},"data":null}`:      `ret "…"`,
	} {
		def := paged(t, connectors.PagingNumber, func(url.Values) string { return body })
		def.HTTP.OK = &connectors.Success{Path: "head.ret", Values: []string{"A1", "A2"}}
		_, _, err := drain(t, opened(t, def, nil))
		if wrong != "" {
			expectFault(t, err, connectors.FaultAnswer, connectors.ErrRefused, wrong)
		} else if connectors.CodeOf(err) != connectors.FaultUnclassified {
			t.Errorf("%s: %v", body, err)
		}
	}
}
