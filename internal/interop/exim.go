package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// eximConf is the least that Exim needs to relay all mail; what is not named is as Exim
// has it. Unpacked it is not setuid, so that it delivers as the user that it has become.
const eximConf = `primary_hostname = exim.test
exim_path = %[2]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log.%%s
pid_file_path = %[1]s/spool/exim.pid
keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[3]s
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
smtputf8_advertise_hosts = *
acl_smtp_rcpt = all
acl_smtp_data = all

begin acl
all:
  accept

begin routers
relay:
  driver = manualroute
  transport = smtp
  route_list = * %[4]s byname
  self = send

begin transports
smtp:
  driver = smtp
  port = %[5]s

begin retry
* * F,1h,1s
`

// StartExim starts an Exim that relays to an address.
func StartExim(relay string) (*Server, error) {
	s, err := newServer("exim")
	if err == nil {
		if err = s.exim(relay); err == nil {
			return s, nil
		}
		s.Close()
	}
	return nil, fmt.Errorf("start Exim: %w", err)
}

func (s *Server) exim(relay string) error {
	program, _, err := firstOf("exim", "/usr/sbin/exim4", "/usr/sbin/exim", "/usr/bin/exim")
	if err != nil {
		return err
	}
	env, err := s.accounts("Debian-exim")
	if err != nil {
		return err
	}
	owner, err := uid("Debian-exim", 0)
	if err != nil {
		return err
	}
	spool := filepath.Join(s.dir, "spool")
	if err := os.Mkdir(spool, 0o750); err != nil {
		return err
	}
	for _, dir := range []string{s.dir, spool} {
		if err := os.Chown(dir, owner, owner); err != nil {
			return err
		}
	}
	host, port, _ := strings.Cut(relay, ":")
	conf := filepath.Join(s.dir, "exim.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, eximConf, s.dir, program, s.port, host, port), 0o644); err != nil {
		return err
	}
	if err := os.Chown(conf, 0, 0); err != nil {
		return err
	}
	return s.run(env, program, "-C", conf, "-bdf", "-q5s")
}
