package httpapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/jsonrow"
)

const maxSaid = 200 // bytes of what an interface says that are quoted

// The members by which interfaces say whether they could answer: a code, words about it, whether it went well, and what
// is only there, or not zero, after an error.
func codeNames() []string {
	return []string{"code", "resultCode", "result_code", "respCode", "returnCode", "retCode", "ret", "status", "statusCode", "state"}
}

func wordNames() []string {
	return []string{"msg", "message", "errmsg", "errMsg", "errorMsg", "errorMessage", "error_description", "resultMsg", "respMsg", "retMsg", "info"}
}

func errorNames() []string {
	return []string{"errcode", "errCode", "err_code", "errorCode", "error_code", "errno", "error"}
}

// success refuses an answer that says, in the member that the definition names, that the interface could not answer.
func (s *source) success(doc *jsonrow.Document) error {
	if s.cfg.OK == nil {
		return nil
	}
	text, err := doc.Scalar(s.cfg.OK.Path)
	if err != nil {
		return s.refuse(connectors.FaultAnswer, "%s", err)
	}
	if slices.Contains(s.cfg.OK.Values, text) {
		return nil
	}
	prefix := s.cfg.OK.Path[:strings.LastIndexByte(s.cfg.OK.Path, '.')+1]
	return s.refuse(connectors.FaultAnswer, "its member %q does not have the value that means success (ok)%s", s.cfg.OK.Path, excuse(doc, prefix))
}

// failure quotes what the answer says beside an empty list if that is an error; it is empty if it is none.
func failure(doc *jsonrow.Document, records string) string {
	for _, prefix := range levels(records) {
		if failed(doc, prefix) {
			return excuse(doc, prefix)
		}
	}
	return ""
}

func failed(doc *jsonrow.Document, prefix string) bool {
	first := func(names []string) string {
		for _, name := range names {
			if text, err := doc.Scalar(prefix + name); err == nil && text != "" {
				return strings.ToLower(strings.TrimSpace(text))
			}
		}
		return ""
	}
	switch first([]string{"success", "ok", "isSuccess"}) {
	case "false", "0", "n", "no", "fail", "failed":
		return true
	}
	if code := first(errorNames()); code != "" && code != "false" && !goodCode(code) {
		return true
	}
	code, words := first(codeNames()), first(wordNames())
	switch {
	case code == "" || goodCode(code):
		return false
	case words == "":
		return badCode(code)
	}
	// Of codes each department has its own; the words beside them have a common language.
	return badCode(code) || !goodWords(words)
}

func goodCode(code string) bool {
	return strings.Trim(code, "0") == "" || slices.Contains([]string{"200", "20000", "0200", "ok", "success", "succeed", "true", "s", "y"}, code)
}

// badCode knows the HTTP statuses, alone or with two or three digits behind them, and codes below zero, which mean an
// error everywhere.
func badCode(code string) bool {
	n, err := strconv.Atoi(code)
	switch {
	case err != nil:
		return slices.Contains([]string{"error", "fail", "failed", "failure", "false"}, code)
	case n < 0 || len(code) != 3 && len(code) != 5 && len(code) != 6:
		return n < 0
	}
	return code[0] == '4' || code[0] == '5'
}

// goodWords knows words for success, and for a list without rows.
func goodWords(words string) bool {
	for _, bad := range []string{"不成功", "未成功", "失败", "错误", "unsuccess", "not success", "fail", "error"} {
		if strings.Contains(words, bad) {
			return false
		}
	}
	return slices.ContainsFunc([]string{"成功", "正常", "ok", "success", "succeed", "无数据", "没有数据", "暂无", "没有更多", "无更多", "为空", "无记录", "没有记录", "未查询到", "no data", "no more", "no record", "no result", "empty", "not found"},
		func(good string) bool { return strings.Contains(words, good) })
}

// excuse quotes what interfaces say in place of rows, such as {"code": 401, "msg": "token expired", "data": null}.
func excuse(doc *jsonrow.Document, prefix string) string {
	var said []string
	for _, name := range slices.Concat([]string{"success", "ok", "isSuccess"}, codeNames(), errorNames(), wordNames()) {
		if text, err := doc.Scalar(prefix + name); err == nil && text != "" {
			said = append(said, fmt.Sprintf("%s %q", name, withoutValues(bounded(text))))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "; it says " + strings.Join(said, ", ")
}

// bounded cuts a text that is too long to quote, between characters.
func bounded(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= maxSaid {
		return text
	}
	end := maxSaid
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// withoutValues blanks what may be a person's number or a secret in a message: words with six or more digits in a
// row, and those that are longer than words are.
func withoutValues(text string) string {
	const longNumber, longWord = 6, 24
	isWord := func(r rune) bool { return r < utf8.RuneSelf && r > ' ' && !strings.ContainsRune(`,;:()[]{}"'<>`, r) }
	var b strings.Builder
	for text != "" {
		end := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
		if end < 0 {
			end = len(text)
		}
		if end == 0 {
			_, end = utf8.DecodeRuneInString(text)
			b.WriteString(text[:end])
			text = text[end:]
			continue
		}
		digits, most := 0, 0
		for _, c := range []byte(text[:end]) {
			if digits++; c < '0' || c > '9' {
				digits = 0
			}
			most = max(most, digits)
		}
		word := text[:end]
		if len(word) > longWord || most >= longNumber {
			word = "…"
		}
		b.WriteString(word)
		text = text[end:]
	}
	return b.String()
}
