package apidoc

import (
	"net/http"
	"strconv"
)

// pageItems are the paths that are no gRPC methods.
func pageItems() map[string]object {
	text := func(media string) object { return object{media: object{"schema": object{"type": "string"}}} }
	page := func(id, summary string, responses object) object {
		responses["405"] = problemResponse(http.StatusMethodNotAllowed, []string{"METHOD_NOT_ALLOWED"})
		return object{"tags": []any{"Server"}, "operationId": id, "summary": summary, "security": []any{}, "responses": responses}
	}
	ready := object{"application/json": object{"schema": object{"$ref": schemaPrefix + "ReadyReport"}}}
	health := object{"application/json": object{"schema": object{
		"type": "object", "required": []any{"status"}, "properties": object{"status": object{"type": "string", "enum": []any{"ok"}}},
	}}}
	document := page("Server_OpenAPI", "Returns this document.", object{"200": object{
		"description": "OK.", "content": object{"application/json": object{"schema": object{"type": "object", "additionalProperties": true}}},
	}})
	responses := members(document["responses"])
	cacheable(document, members(responses["200"]), responses)
	head := document["x-head"]
	delete(document, "x-head")
	return map[string]object{
		"/healthz": {"get": page("Server_Health", "Reports that the process is up.", object{"200": object{"description": "OK.", "content": health}})},
		"/readyz": {"get": page("Server_Ready", "Reports whether every part of the process works, and which does not.", object{
			"200": object{"description": "Every part works.", "content": ready},
			"503": object{"description": "A part does not work, or the process is stopping.", "content": ready},
		})},
		"/metrics": {"get": page("Server_Metrics", "Returns the figures of the process in the format of Prometheus.", object{
			"200": object{"description": "OK.", "content": text("text/plain")},
			"500": object{"description": "A figure cannot be read.", "content": text("text/plain")},
			"503": object{"description": "The figures are asked for too often.", "content": text("text/plain")},
		})},
		"/openapi.json": {"get": document, "head": head},
		"/tsa":          {"post": timestampOperation()},
	}
}

func timestampOperation() object {
	binary := object{"type": "string", "format": "binary"}
	responses := object{"200": object{
		"description": "A TimeStampResp, also when the request in it is refused.",
		"content":     object{"application/timestamp-reply": object{"schema": binary}},
	}}
	for status, reasons := range byStatus([]Problem{
		{http.StatusBadRequest, "BODY_INCOMPLETE"},
		{http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		{http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE"},
		{http.StatusUnsupportedMediaType, "CONTENT_TYPE"},
		{http.StatusTooManyRequests, "TOO_MANY_REQUESTS"},
		{http.StatusInternalServerError, "INTERNAL"},
		{http.StatusServiceUnavailable, "UNAVAILABLE"},
	}) {
		responses[strconv.Itoa(status)] = problemResponse(status, reasons)
	}
	return object{
		"tags": []any{"Server"}, "operationId": "Server_Timestamp", "security": []any{},
		"summary": "Returns a timestamp (RFC 3161) of a digest.",
		"requestBody": object{
			"required": true, "description": "A TimeStampReq of at most 64 KiB.",
			"content": object{"application/timestamp-query": object{"schema": binary}},
		},
		"responses": responses,
	}
}

// problemSchema is the body of every error (RFC 9457).
func problemSchema() object {
	text := func(description string) object { return object{"type": "string", "description": description} }
	return object{
		"type":        "object",
		"description": "What went wrong (RFC 9457). Programs look at the reason.",
		"required":    []any{"type", "title", "status", "detail", "instance", "reason", "requestId"},
		"properties": object{
			"type":      text("Always \"about:blank\"."),
			"title":     text("What the reason means."),
			"status":    object{"type": "integer", "format": "int32", "description": "The HTTP status."},
			"detail":    text("What is wrong, and where."),
			"instance":  text("The path that was called."),
			"reason":    text("The error for programs, in UPPER_SNAKE_CASE; reasons are only ever added."),
			"requestId": text("Under this id the log has the call."),
			"hint":      text("What to do about it."),
		},
	}
}

// readySchema is the body of /readyz.
func readySchema() object {
	return object{
		"type": "object", "required": []any{"status", "version", "parts"},
		"properties": object{
			"status":  object{"type": "string", "description": "\"ready\", \"not ready\" or \"stopping\"."},
			"version": object{"type": "string"},
			"parts": object{"type": "array", "items": object{
				"type": "object", "required": []any{"name", "ok", "detail"},
				"properties": object{"name": object{"type": "string"}, "ok": object{"type": "boolean"}, "detail": object{"type": "string"}},
			}},
		},
	}
}
