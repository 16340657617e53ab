package store

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// minVersion is the oldest major version of Redis whose behaviour is known here.
const minVersion = 7

// judge adds the faults that are in the answers.
func (i *Inspection) judge(a *answers) {
	i.judgeServer(a)
	i.judgeFile(a)
	i.judgeMemory(a)
	i.judgeAccess(a)
	i.judgeClock(a.ahead)
}

func (i *Inspection) judgeServer(a *answers) {
	major, _, _ := strings.Cut(i.Version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < minVersion {
		i.add(true, "old-redis", "Redis %s is older than 7.0, whose scripts and files are relied on: install 7.0 or later", i.Version)
	}
	if role := a.info["role"]; role != "" && role != "master" {
		i.add(true, "replica", "this Redis is a replica: what is written here is lost or refused; give the address of the primary")
	}
	if n, _ := strconv.Atoi(a.info["connected_slaves"]); n > 0 && a.config["min-replicas-to-write"] == "0" {
		i.add(false, "failover-loses", "Redis has replicas, which copy later: a failover loses what was not copied yet; set min-replicas-to-write 1 and min-replicas-max-lag 10 to bound it")
	}
}

func (i *Inspection) judgeFile(a *answers) {
	switch a.config["appendonly"] {
	case "yes":
		i.Level = a.config["appendfsync"]
	case "no":
		i.Level = LevelNone
		i.add(true, "no-append-only", "Redis keeps no append-only file: a restart loses accepted mail; set appendonly yes and appendfsync always")
	default:
		return // it did not tell: durability-unknown
	}
	switch i.Level {
	case LevelEverySec:
		i.add(false, "everysec", "appendfsync is everysec: a power cut may lose the mail accepted in the last second, and so may a crash of Redis while its disk is slow; set appendfsync always to lose none")
	case LevelNo:
		i.add(true, "no-fsync", "appendfsync is no: a power cut may lose the mail of the last half minute; set appendfsync always, or everysec")
	case "":
		i.Level = LevelUnknown
	}
	if a.config["no-appendfsync-on-rewrite"] == "yes" {
		i.add(false, "no-fsync-on-rewrite", "no-appendfsync-on-rewrite is yes: while Redis rewrites its file, appendfsync does nothing; set it to no")
	}
	if a.config["stop-writes-on-bgsave-error"] == "no" {
		i.add(false, "writes-on-save-error", "stop-writes-on-bgsave-error is no: Redis goes on taking mail when its disk fails; set it to yes")
	}
	for _, field := range []string{"aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"} {
		if status := a.info[field]; status != "" && status != "ok" {
			i.add(false, "disk", "Redis could not write its file (%s is %s): look at its disk and its log", field, status)
		}
	}
}

func (i *Inspection) judgeMemory(a *answers) {
	if policy := a.config["maxmemory-policy"]; policy != "" && policy != "noeviction" {
		i.add(true, "eviction", "maxmemory-policy is %s: a full Redis throws accepted mail away; set it to noeviction", policy)
	}
	if n, _ := strconv.ParseInt(a.info["evicted_keys"], 10, 64); n > 0 {
		i.add(false, "evicted", "Redis has thrown %d keys away since its start: mail may be missing; set maxmemory-policy noeviction and run `postrider fsck`", n)
	}
	if a.info["maxmemory"] == "0" {
		i.add(false, "no-maxmemory", "maxmemory is not set: Redis may grow until its machine ends it; set it to what this machine can spare")
	}
}

func (i *Inspection) judgeAccess(a *answers) {
	switch {
	case a.local:
		return
	case !a.secured:
		i.add(true, "passwordless-redis", "Redis is reached over the network without a password: whoever reaches it reads and sends mail; set one (ACL SETUSER or requirepass)")
	case a.user == "default":
		i.add(false, "default-user", "Redis is used as the user default, who may do everything; give Postrider a user of its own")
	}
	if !a.encrypted {
		i.add(false, "no-tls", "Redis is reached over the network without TLS: use rediss://")
	}
}

// How far the clock of Redis may be from ours: from warnClock on times look odd,
// from badClock on leases and heartbeats mean nothing.
const (
	warnClock = 2 * time.Second
	badClock  = 10 * time.Second
)

func (i *Inspection) judgeClock(ahead time.Duration) {
	if off := ahead.Abs(); off > warnClock {
		i.add(off > badClock, "clock", "the clock of Redis and ours are %s apart: set both by NTP", off.Round(100*time.Millisecond))
	}
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
