package store

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/email"
)

// Every key and every stored field.
//
// Times are unix milliseconds. Ids inside a shard are the 26 characters of a
// message id without "msg_" (<id>); they sort by time. JSON members that are
// empty, zero or false are left out; names are short, since each queued message
// pays for them. New members may be added; none changes its meaning.
//
// # Of one shard of one world: <world>:{s<n>}:...
//
// All keys of a shard share the hash tag, so that one script may change them.
//
//	m:<id>      hash, the record
//	              m   JSON, fixed at accept: type meta in record.go
//	              s   JSON, what changes: type state in record.go; Lua writes it
//	              y<i> JSON, the last SMTP reply about recipient i: type reply
//	b:<id>      string, the content: packed, a line of JSON, type contentHead in
//	            content.go, and behind it html, text and files as they are
//	e:<id>      list of events, oldest first: JSON, type event in events.go.
//	            An event's position is its index in this list, from 0
//	a:<id>      list of attempts, oldest first: "<number> " + packed JSON, type
//	            attempt in attempts.go. number counts within the envelope, from 1
//	p:<id>      hash, a message of a batch that is not committed yet: m and s of its
//	            record to be, v JSON: type stagedTodo in batch.go
//	staged      sorted set of these, since when: member <id>, score time
//	v:<id>      string, the envelopes' stub after the record was forgotten: JSON,
//	            type stub in forget.go
//	events      stream, one entry per event: m = <id>, p = its position, b = 1 if it
//	            is a bounce that suppresses its recipient, or c = what it adds to
//	            the statistics, JSON, type storedSample in sample.go (without c
//	            the message tells); or g = an event of a
//	            suppression, JSON, type storedSuppressionEvent in suppressions.go.
//	            Trimmed past MetadataRetention
//	trimmed     string, the id of the last entry that was trimmed off events
//	due         sorted set, when to look at an envelope again:
//	            member <id>:<envelope>, score time. The only clock
//	purge       sorted set of finished messages, when to forget the next part:
//	            member <id>, score time
//	broken      sorted set of what could not be read and was set aside, so that it
//	            does not fail for ever: member due:<member of due> or
//	            purge:<id>, score time
//	ix:a        sorted set of all messages, score 0, member <id>
//	ix:s:<status>  the same by the message's derived status (api.md 10.2)
//	ix:s:quarantined  the same of those that have a quarantined envelope, beside their
//	               status
//	ix:t:<tag>     the same by tag
//	ix:r:<hash>    the same by recipient: 11 characters of base64url of the
//	               SHA-256 of the address in lower case. Readers check the record
//	ix:p:<tpl>     the same by template, its 26 characters
//	ix:b:<bat>     the same by batch, its 26 characters
//	ix:k:<hash>    the same by Supersede key and recipient: 22 characters of
//	               base64url of the SHA-256 of key, NUL, address in lower case.
//	               A final message may leave it
//	i:<hash>    string with TTL IdempotencyWindow, an Idempotency-Key: 22
//	            characters of base64url of its SHA-256 ->
//	            "<fingerprint, 43 characters of base64url> <id>". Of a request that
//	            is no send: the fingerprint and " ?<nonce>" while it runs (TTL one
//	            minute), then " =<answer>", sealed octets of the API
//
//	sup         hash, what is suppressed, a copy: normalized address -> "<number of the
//	            change> " + JSON, as the list's own (below), without what does not
//	            decide; nothing behind the number if the address was just taken out
//	sup:at      string, the number of the last change that was followed
//
//	st:<interval>:<start>  hash with TTL, the statistics of a minute, an hour or a day
//	            that began then (unix seconds): "<group>:<name>:<value>" -> count, as
//	            stats.go says
//
//	follow      string, the event stream's last entry that was followed: its id
//	w:<dlv>     hash, a delivery of an event to an endpoint; <dlv> is 26 characters
//	              d    JSON, type storedDelivery in deliveries.go
//	              a<n> the attempt n, from 1: packed JSON, type storedPost
//	w:due       sorted set, when to look at a delivery that is pending: member
//	            <dlv>, score time
//	w:purge     sorted set of finished deliveries, when to forget them
//	w:p:<wh>    sorted set of an endpoint's pending deliveries, score 0
//	w:f:<wh>    the same of its finished ones
//	w:h:<wh>    hash with TTL MetadataRetention after the last attempt, how the
//	            endpoint answered in this shard: s last success, f last failure, b
//	            first failure since, n failures since
//
// # Of one world, in no shard
//
//	<world>:{sup}:a       hash, the suppressions: normalized address -> "<number of the
//	                      change> " + JSON, list of type storedSuppression
//	<world>:{sup}:n       string, the number of the last change
//	<world>:{sup}:log     stream of the changes that were not followed yet, its ids are
//	                      their numbers: a = address, c = the copies' JSON, e0, e1...
//	                      the events
//	<world>:{sup}:x       sorted set, when entries expire: member "<id> <address>"
//	<world>:{sup}:ix:a    sorted set of all entries, score 0, member "<id> <address>";
//	                      the same by reason, ix:r:<reason>, and by stream, ix:s:<stream>
//	<world>:{hooks}:w     hash, wh_ id -> JSON of an endpoint: type storedWebhook
//	<world>:{keys}:h:<hex SHA-256 of the secret>  string, an API key: JSON, type storedKey in
//	                                              apikeyrecord.go; or "@<key id>", if the secret is
//	                                              the one before the last rotation
//	<world>:{tpl}:n       string, "<number>.<nonce>" of the last change to a template
//	<world>:{tpl}:t       hash, tpl_ id -> JSON of a template's head: type storedTemplate
//	<world>:{tpl}:c       hash, the texts: "<id without tpl_>:<digest>" -> packed JSON, type
//	                      TemplateContent; the digest is 22 characters of base64url of
//	                      the SHA-256 of that JSON
//	<world>:{keys}:i:<key id>                     string, the hash above
//	<world>:{keys}:u                              hash, when keys were used last: <key id> -> ms
//	<world>:{<key id>}:day:<yyyymmdd>             string with TTL, how many recipients the key was
//	                                              given that day (UTC), if it has a quota
//	<world>:{audit}:log                           stream, who changed what: e = JSON, type storedChange
//	                                              in audit.go
//	<world>:{<key id>}:rate                       string with TTL, the key's bucket of requests:
//	                                              "<tokens> <when, in ms of Redis' clock> <nonce> <given>"
//	<world>:{keys}:ids                            set of the ids of all API keys
//
// # Of the installation, in no world
//
//	install:domains       hash, A-label name -> JSON of a sending domain: type storedDomain
//	install:lease:<name>  string with TTL, the holder
//	install:{beats}:clock hash, the clock of the heartbeats: c ms that it went so
//	                      far, a when the last heartbeat came, by the clock of Redis
//	install:{beats}:seen  sorted set of workers, score: that clock at the last heartbeat
//	install:secret        string, the check value of the installation's secret
//	install:epoch         string, JSON: type storedEpoch in epoch.go
//
// All of {users} share the hash tag; they are of the dashboard's users.
//
//	install:{users}:all      hash, id -> JSON: type storedUser in users.go
//	install:{users}:names    hash, name -> id
//	install:{users}:admins   set of ids: who can administer now
//	install:{users}:f:<hash> string with TTL: a link that makes the first administrator
//	install:{users}:s:<hash> string with TTL, a session: JSON, type storedSession in sessions.go
//	install:{users}:o:<usr id> sorted set with TTL: the hashes of the sessions of a user,
//	                         by when each was used last; some may be over
//	install:{users}:t:<what> string with TTL, how often somebody tried to sign in

// shardKeys names the keys of one shard of one world.
type shardKeys struct{ prefix string }

func keysOf(w email.World, shard uint8) shardKeys {
	return shardKeys{prefix: string(w) + ":{s" + strconv.Itoa(int(shard)) + "}:"}
}

func (k shardKeys) record(id string) string     { return k.prefix + "m:" + id }
func (k shardKeys) body(id string) string       { return k.prefix + "b:" + id }
func (k shardKeys) events(id string) string     { return k.prefix + "e:" + id }
func (k shardKeys) attempts(id string) string   { return k.prefix + "a:" + id }
func (k shardKeys) stub(id string) string       { return k.prefix + "v:" + id }
func (k shardKeys) stream() string              { return k.prefix + "events" }
func (k shardKeys) trimmed() string             { return k.prefix + "trimmed" }
func (k shardKeys) stage(id string) string      { return k.prefix + "p:" + id }
func (k shardKeys) staged() string              { return k.prefix + "staged" }
func (k shardKeys) due() string                 { return k.prefix + "due" }
func (k shardKeys) purge() string               { return k.prefix + "purge" }
func (k shardKeys) broken() string              { return k.prefix + "broken" }
func (k shardKeys) listed() string              { return k.prefix + "sup" }
func (k shardKeys) listedCursor() string        { return k.prefix + "sup:at" }
func (k shardKeys) cursor() string              { return k.prefix + "follow" }
func (k shardKeys) delivery(id string) string   { return k.prefix + "w:" + id }
func (k shardKeys) deliveryDue() string         { return k.prefix + "w:due" }
func (k shardKeys) deliveryPurge() string       { return k.prefix + "w:purge" }
func (k shardKeys) pending(hook string) string  { return k.prefix + "w:p:" + hook }
func (k shardKeys) finished(hook string) string { return k.prefix + "w:f:" + hook }
func (k shardKeys) health(hook string) string   { return k.prefix + "w:h:" + hook }
func (k shardKeys) all() string                 { return k.prefix + "ix:a" }
func (k shardKeys) statusStem() string          { return k.prefix + "ix:s:" }
func (k shardKeys) quarantined() string         { return k.statusStem() + "quarantined" }
func (k shardKeys) tag(tag string) string       { return k.prefix + "ix:t:" + tag }
func (k shardKeys) template(id string) string   { return k.prefix + "ix:p:" + bare(id) }
func (k shardKeys) batch(id string) string      { return k.prefix + "ix:b:" + bare(id) }

func (k shardKeys) stats(i Interval, start int64) string {
	return k.prefix + "st:" + string(i) + ":" + strconv.FormatInt(start, 10)
}

func (k shardKeys) status(s email.Status) string { return k.statusStem() + string(s) }

func (k shardKeys) recipient(address string) string {
	return k.prefix + "ix:r:" + hashWord(strings.ToLower(address), 8)
}

func (k shardKeys) idempotency(key string) string {
	return k.prefix + "i:" + hashWord(key, 16)
}

// hashWord is what stands in the name of a key for a text of a caller's.
func hashWord(text string, octets int) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:octets])
}

// indexes are the index entries of a message that never move: all, tags, recipients,
// batch, and those that let it be superseded, which it may leave when it is final.
func (k shardKeys) indexes(m *email.Message) []string {
	keys := []string{k.all()}
	seen := map[string]bool{}
	add := func(key string) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for _, tag := range m.Tags {
		add(k.tag(tag))
	}
	for _, r := range m.Recipients {
		add(k.recipient(r.Address.Email))
	}
	if m.BatchID != "" {
		add(k.batch(m.BatchID))
	}
	if m.Template.ID != "" {
		add(k.template(m.Template.ID))
	}
	for _, key := range k.supersedes(m) {
		add(key)
	}
	return keys
}

// dueMember names one envelope in the due set.
func dueMember(id string, envelope int) string { return id + ":" + strconv.Itoa(envelope) }

func parseDueMember(member string) (id string, envelope int, err error) {
	id, number, ok := strings.Cut(member, ":")
	envelope, convErr := strconv.Atoi(number)
	if !ok || convErr != nil || envelope < 0 || !isShort(id) {
		return "", 0, fmt.Errorf("broken member of a due set: %q", member)
	}
	return id, envelope, nil
}

// A message id without and with its prefix.
func short(messageID string) string { return strings.TrimPrefix(messageID, email.MessagePrefix+"_") }
func long(id string) string         { return email.MessagePrefix + "_" + id }

// A delivery id without and with its prefix.
func bare(id string) string {
	_, rest, _ := strings.Cut(id, "_")
	return rest
}

func deliveryID(name string) string { return email.DeliveryPrefix + "_" + name }

func isShort(id string) bool {
	_, err := email.ParseID(email.MessagePrefix, long(id))
	return err == nil
}

// locate finds the shard and the short id of a message id. What is not an id of
// ours names no message: ErrNotFound.
func (m *Messages) locate(w email.World, messageID string) (k shardKeys, id string, err error) {
	shard, err := email.Shard(messageID)
	if err != nil {
		return shardKeys{}, "", ErrNotFound
	}
	return keysOf(w, shard), short(messageID), nil
}

// {keys} joins the names of an API key in one slot, for the scripts that change them.
func apiKeyByHash(w email.World, hash string) string { return string(w) + ":{keys}:h:" + hash }

func templateState(w email.World) string    { return string(w) + ":{tpl}:n" }
func templateHeads(w email.World) string    { return string(w) + ":{tpl}:t" }
func templateContents(w email.World) string { return string(w) + ":{tpl}:c" }

func webhooksKey(w email.World) string { return string(w) + ":{hooks}:w" }

func apiKeyByID(w email.World, id string) string { return string(w) + ":{keys}:i:" + id }

func apiKeyIDs(w email.World) string { return string(w) + ":{keys}:ids" }

func apiKeyUse(w email.World) string { return string(w) + ":{keys}:u" }

func quotaKey(w email.World, id, day string) string { return string(w) + ":{" + id + "}:day:" + day }

func auditKey(w email.World) string { return string(w) + ":{audit}:log" }

func rateKey(w email.World, id string) string { return string(w) + ":{" + id + "}:rate" }

const (
	domainsKey  = "install:domains"
	secretKey   = "install:secret"
	leasePrefix = "install:lease:"
	beatClock   = "install:{beats}:clock"
	beatsKey    = "install:{beats}:seen"
	epochKey    = "install:epoch"
	usersKey    = "install:{users}:all"
	userNames   = "install:{users}:names"
	adminsKey   = "install:{users}:admins"
	firstPrefix = "install:{users}:f:"
	sessPrefix  = "install:{users}:s:"
	ownSessions = "install:{users}:o:"
	triesPrefix = "install:{users}:t:"
)
