package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Postfix is a private Postfix that relays to the sink.
type Postfix struct {
	Addr string
	PID  int // of its master
}

// mainCF is Debian's defaults but for where things are, that all mail goes to the
// sink, and that it does not ask DNS.
const mainCF = `compatibility_level = 3.6
config_directory = %[1]s/etc
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.bench.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:%[2]s
`

const masterCF = `%[1]s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
`

// StartPostfix starts one. Its errors say why it cannot be had here.
func (r *Rig) StartPostfix(ctx context.Context, sink *Sink) (*Postfix, error) {
	if _, err := exec.LookPath("postfix"); err != nil {
		return nil, errors.New("it is not installed")
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("its master runs as root only")
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	// Its processes run as another user, to whom the rig's own directory is closed.
	dir, err := os.MkdirTemp("", "postrider-postfix")
	if err != nil {
		return nil, err
	}
	r.atEnd(func() { _ = os.RemoveAll(dir) })
	if err := layOut(dir, port, sink); err != nil {
		return nil, err
	}
	etc := filepath.Join(dir, "etc")
	if out, err := exec.CommandContext(ctx, "postfix", "-c", etc, "start").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("it does not start: %w: %s", err, out)
	}
	r.atEnd(func() { _ = exec.Command("postfix", "-c", etc, "stop").Run() })
	p := &Postfix{Addr: "127.0.0.1:" + strconv.Itoa(port)}
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Join(dir, "queue/pid/master.pid"))
		if err != nil {
			continue
		}
		if p.PID, err = strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
			return p, nil
		}
	}
	return nil, errors.New("its master does not come up")
}

func layOut(dir string, port int, sink *Sink) error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, sub := range []string{"etc", "queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(filepath.Join(dir, "data"), uid, -1); err != nil {
		return err
	}
	_, sinkPort, _ := strings.Cut(sink.SMTP, ":")
	if err := os.WriteFile(filepath.Join(dir, "etc/main.cf"), fmt.Appendf(nil, mainCF, dir, sinkPort), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "etc/master.cf"), fmt.Appendf(nil, masterCF, strconv.Itoa(port)), 0o644)
}
