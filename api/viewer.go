package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// The viewer of openapi.yaml: a page of ours and Scalar, which is somebody else's
// (viewer/scalar.txt says which, and its licence stands beside it).
//
//go:embed viewer
var viewerFiles embed.FS

// viewerPolicy lets the viewer do what it needs and nothing else: no request leaves
// for another server. It makes its style elements itself, hence unsafe-inline for
// styles alone.
const viewerPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// viewerPage is GET /docs.
func (d *door) viewerPage(g *gin.Context) {
	g.Header("Content-Security-Policy", viewerPolicy)
	g.Header("Referrer-Policy", "no-referrer")
	d.viewerFile(g, "index.html", "text/html; charset=utf-8")
}

// viewerScript is GET /docs/{file}.
func (d *door) viewerScript(g *gin.Context) {
	switch name := g.Param("file"); name {
	case "start.js":
		d.viewerFile(g, name, "text/javascript; charset=utf-8")
	case "scalar.js":
		g.Header("Vary", "Accept-Encoding")
		if strings.Contains(g.GetHeader("Accept-Encoding"), "gzip") {
			g.Header("Content-Encoding", "gzip")
		}
		d.viewerFile(g, name+".gz", "text/javascript; charset=utf-8")
	default:
		d.writeProblem(g, &problem{code: notFound, detail: "There is no such file.", resource: "file"})
	}
}

// viewerFile sends a file as it is embedded, or unpacked for those who cannot.
func (d *door) viewerFile(g *gin.Context, name, mediaType string) {
	if _, err := parseQuery(g.Request.URL.RawQuery, nil); err != nil {
		d.refuse(g, err)
		return
	}
	data, err := viewerFiles.ReadFile("viewer/" + name)
	if err == nil && strings.HasSuffix(name, ".gz") && g.Writer.Header().Get("Content-Encoding") == "" {
		data, err = unpack(data)
	}
	if err != nil {
		d.refuse(g, fmt.Errorf("read the viewer: %w", err))
		return
	}
	// A newer binary brings newer files under the same names.
	g.Header("Cache-Control", "no-cache")
	writeBody(g, http.StatusOK, mediaType, data)
}

func unpack(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r) // of our own binary
}
