// Command bare is the yardstick of the API alone: a Gin handler that parses the JSON
// of a message and writes it to Redis under a new id, and nothing else. No key, no
// checks, no idempotency, no index, no event: it shows what HTTP, JSON and one write
// cost that nobody can leave out, and is of no other use.
//
//	bare -http 127.0.0.1:8026 -redis 127.0.0.1:6379
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func main() {
	web := flag.String("http", "127.0.0.1:8026", "where mails are posted")
	redisAddr := flag.String("redis", "127.0.0.1:6379", "Redis")
	flag.Parse()
	if err := run(*web, *redisAddr); err != nil {
		log.Fatal(err)
	}
}

// message is what is parsed: as much as the injector sends.
type message struct {
	From struct {
		Email string `json:"email"`
		Name  string `json:"name"`
	} `json:"from"`
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
	Tags    []string `json:"tags"`
}

func run(web, redisAddr string) error {
	rdb := redis.NewClient(&redis.Options{
		Addr: redisAddr, DisableIdentity: true, Protocol: 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.GET("/healthz", func(c *gin.Context) { c.Status(http.StatusOK) })
	e.POST("/messages", func(c *gin.Context) {
		raw, err := c.GetRawData()
		var m message
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		if err != nil {
			c.String(http.StatusBadRequest, err.Error())
			return
		}
		id := uuid.Must(uuid.NewV7()).String()
		if err := rdb.Set(c.Request.Context(), "m:"+id, raw, 0).Err(); err != nil {
			c.String(http.StatusServiceUnavailable, err.Error())
			return
		}
		c.Data(http.StatusAccepted, "application/json", fmt.Appendf(nil, `{"id":%q,"subject":%q}`, id, m.Subject))
	})
	return (&http.Server{Addr: web, Handler: e, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}
