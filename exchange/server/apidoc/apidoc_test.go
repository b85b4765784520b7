package apidoc

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onewindow/onewindow/proto"
	_ "github.com/onewindow/onewindow/proto/analytics/v1"
	_ "github.com/onewindow/onewindow/proto/connectors/v1"
	_ "github.com/onewindow/onewindow/proto/exchange/v1"
	_ "github.com/onewindow/onewindow/proto/licenses/v1"
	_ "github.com/onewindow/onewindow/proto/signing/v1"
)

// everyMethod is what a server with all services says of them.
func everyMethod() map[string]Method {
	methods := map[string]Method{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(file.Path(), "grpc/") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				method := Method{Request: string(m.Input().FullName()), Problems: []Problem{{404, "NOT_THERE"}, {409, "CONFLICT"}, {400, "INVALID"}}}
				if m.Output().FullName() == "google.api.HttpBody" {
					method.Contents = []string{"application/ofd", "image/png"}
					method.Public = m.Name() != "GetLicensePage"
				}
				methods[string(service.Name())+"_"+string(m.Name())] = method
			}
		}
		return true
	})
	return methods
}

func build(t *testing.T) object {
	t.Helper()
	text, err := Build(proto.OpenAPI(), everyMethod(), []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/tsa"})
	if err != nil {
		t.Fatal(err)
	}
	var doc object
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestEveryOperationListsItsStatuses(t *testing.T) {
	doc := build(t)
	ids := map[string]bool{}
	for path, item := range members(doc["paths"]) {
		for verb, operation := range members(item) {
			op := members(operation)
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: operation id %q", verb, path, id)
			}
			ids[id] = true
			checkOperation(t, path, verb, op)
		}
	}
	for id := range everyMethod() {
		if !ids[id] {
			t.Errorf("%s is missing", id)
		}
	}
}

func checkOperation(t *testing.T, path, verb string, op object) {
	t.Helper()
	responses := members(op["responses"])
	security, ok := op["security"].([]any)
	if !ok {
		t.Errorf("%s %s says nothing of tokens", verb, path)
	}
	var want []string
	if !strings.HasPrefix(op["operationId"].(string), "Server_") {
		want = append(want, "200", "400", "404", "500", "503", "504")
		if verb != "get" && verb != "head" {
			want = append(want, "409")
		}
	}
	if len(security) > 0 {
		want = append(want, "401", "403")
	}
	if op["requestBody"] != nil {
		want = append(want, "413", "415")
	}
	for _, status := range want {
		if responses[status] == nil {
			t.Errorf("%s %s lacks the status %s", verb, path, status)
		}
	}
	for status, response := range responses {
		content := members(members(response)["content"])
		if status >= "400" && verb != "head" && path != "/readyz" && path != "/metrics" && content["application/problem+json"] == nil {
			t.Errorf("%s %s: %s is no problem: %v", verb, path, status, content)
		}
	}
	for _, p := range parameters(op) {
		name, _ := p["name"].(string)
		if p["in"] == "path" && (strings.ContainsAny(name, "._") && name != "key_id" && name != "seal_id" || !strings.Contains(path, "{"+name+"}")) {
			t.Errorf("%s %s: path parameter %q", verb, path, name)
		}
	}
	text, _ := op["summary"].(string)
	more, _ := op["description"].(string)
	if text == "" || strings.Contains(text+more, "buf:") || strings.Contains(text, "\n") {
		t.Errorf("%s %s: summary %q", verb, path, text)
	}
}

func TestPublicOperationsNeedNoToken(t *testing.T) {
	paths := members(build(t)["paths"])
	for path, public := range map[string]bool{
		"/v1/status-lists/{id}": true, "/.well-known/jwks.json": true, "/v1/signing/crl/{authority}": true, "/tsa": true, "/readyz": true, "/openapi.json": true,
		"/v1/licenses/{number}/page": false, "/v1/departments": false,
	} {
		for verb, op := range members(paths[path]) {
			security, _ := members(op)["security"].([]any)
			if (len(security) == 0) != public {
				t.Errorf("%s %s: security %v", verb, path, security)
			}
		}
		if head := members(paths[path])["head"]; (head != nil) != (public && path != "/tsa" && path != "/readyz") {
			t.Errorf("%s: HEAD %v", path, head)
		}
	}
	public, err := PublicPaths(proto.OpenAPI(), everyMethod())
	if want := []string{"/.well-known/jwks.json", "/.well-known/jwt-vc-issuer", "/v1/signing/crl/{authority}", "/v1/signing/trust.pem", "/v1/status-lists/{id}"}; err != nil || !slices.Equal(public, want) {
		t.Errorf("public documents %v, %v", public, err)
	}
}

func TestEveryReferenceLeadsToASchema(t *testing.T) {
	doc := build(t)
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	schemas := members(members(doc["components"])["schemas"])
	used := map[string]bool{}
	for _, found := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		used[found[1]] = true
		if schemas[found[1]] == nil {
			t.Errorf("there is no schema %s", found[1])
		}
	}
	for name := range schemas {
		if !used[name] {
			t.Errorf("schema %s is not used", name)
		}
	}
	if used["google.api.HttpBody"] {
		t.Error("an answer that is no message is described as google.api.HttpBody")
	}
}

func TestSchemasSayWhatIsThere(t *testing.T) {
	schemas := members(members(build(t)["components"])["schemas"])
	for name, want := range map[string][]string{
		"exchange.v1.Department":                     {"code", "region", "title", "uscc"},
		"exchange.v1.DepartmentInput":                {"uscc", "title", "region"},
		"exchange.v1.Resource":                       {"agreedDelaySeconds", "kind", "name", "schema", "shareType", "title"},
		"exchange.v1.ResourceInput":                  {"kind", "shareType", "schema"},
		"exchange.v1.RecordInput":                    {"key", "eventTime"},
		"exchange.v1.PushRecordsRequest":             {"records"},
		"exchange.v1.LookupRecordsResponse":          {"records"},
		"licenses.v1.VerifyLicenseResponse":          {"detail", "holderName", "issuer", "number", "reason", "signatures", "statusAsOf", "type", "verdict"},
		"analytics.v1.IndexRow":                      {"accepted", "completed", "decided", "decidedOnTime", "group", "materialsRequired", "materialsSubmitted"},
		"Problem":                                    {"type", "title", "status", "detail", "instance", "reason", "requestId"},
		"connectors.v1.MendRejectedRequest":          nil,
		"signing.v1.CreateCertificateRequestRequest": {"subject"},
	} {
		schema := members(schemas[name])
		list, _ := schema["required"].([]any)
		var got []string
		for _, e := range list {
			got = append(got, e.(string))
		}
		if schema == nil || !slices.Equal(got, want) {
			t.Errorf("%s requires %v, want %v", name, got, want)
		}
		input := strings.HasSuffix(name, "Input") || strings.HasSuffix(name, "Request")
		if closed := schema["additionalProperties"] == false; closed != input {
			t.Errorf("%s: closed: %v", name, closed)
		}
	}
	properties := func(name string) object { return members(members(schemas[name])["properties"]) }
	for _, tt := range []struct {
		schema, member, key string
		want                any
	}{
		{"exchange.v1.Resource", "agreedDelaySeconds", "pattern", "^-?[0-9]{1,20}$"},
		{"exchange.v1.RecordInput", "payload", "additionalProperties", true},
		{"exchange.v1.RecordInput", "eventTime", "format", "date-time"},
		{"connectors.v1.RejectedRow", "raw", "contentEncoding", "base64"},
		{"exchange.v1.RecordInput", "operation", "$ref", schemaPrefix + "exchange.v1.Operation"},
		{"exchange.v1.PushRecordsRequest", "resource", "type", nil},
	} {
		if got := members(properties(tt.schema)[tt.member])[tt.key]; got != tt.want {
			t.Errorf("%s.%s: %s is %v, want %v", tt.schema, tt.member, tt.key, got, tt.want)
		}
	}
	if values, _ := members(schemas["exchange.v1.RecordKind"])["enum"].([]any); len(values) != 5 {
		t.Errorf("values of RecordKind: %v", values)
	}
}

func TestMethodWithoutOperationIsRefused(t *testing.T) {
	if _, err := Build(proto.OpenAPI(), map[string]Method{"CatalogService_Nothing": {}}, nil); !errors.Is(err, ErrDocument) {
		t.Errorf("%v", err)
	}
	text, err := Build(proto.OpenAPI(), map[string]Method{"CatalogService_ListMatters": {}}, nil)
	if err != nil || strings.Contains(string(text), "SigningService") || !strings.Contains(string(text), "CatalogService_ListMatters") {
		t.Errorf("a server of one method describes others: %v", err)
	}
}
