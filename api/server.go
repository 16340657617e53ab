package api

import (
	"net/http"
	"time"
)

// Server is an HTTP server for a door, with limits on what a slow or greedy client may
// hold: 10 s for the header of at most 16 KiB, two minutes for a request with its body,
// three for the answer, two minutes idle.
func Server(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:    addr,
		Handler: h,
		// Or net/http answers OPTIONS * itself, without a Request-Id.
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  2 * time.Minute,
		WriteTimeout:                 3 * time.Minute,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               16 << 10,
	}
}
