package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mainCF is Debian's defaults but for where things are, that it relays all mail, and
// that it does not ask DNS.
const mainCF = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
daemon_directory = %[2]s
mail_owner = postfix
setgid_group = postdrop
import_environment = MAIL_CONFIG TZ LANG=C LD_PRELOAD LD_LIBRARY_PATH NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
export_environment = TZ LANG LD_PRELOAD LD_LIBRARY_PATH NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
maillog_file = %[1]s/log.main
maillog_file_prefixes = %[1]s
myhostname = postfix.test
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
relayhost = %[3]s
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
postlog unix-dgram n - n - 1 postlogd
`

// StartPostfix starts a Postfix that relays to an address.
func StartPostfix(relay string) (*Server, error) {
	s, err := newServer("postfix")
	if err == nil {
		if err = s.postfix(relay); err == nil {
			return s, nil
		}
		s.Close()
	}
	return nil, fmt.Errorf("start Postfix: %w", err)
}

func (s *Server) postfix(relay string) error {
	master, root, err := firstOf("postfix", "/usr/lib/postfix/sbin/master", "/usr/libexec/postfix/master", "/usr/lib/postfix/bin/master")
	if err != nil {
		return err
	}
	env, err := s.accounts("postfix", "postdrop")
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(relay, ":")
	main := fmt.Sprintf(mainCF, s.dir, filepath.Dir(master), "["+host+"]:"+port)
	if root != "" {
		libraries := filepath.Join(root, "usr/lib/postfix")
		main += "command_directory = " + filepath.Join(root, "usr/sbin") + "\nshlib_directory = " + libraries + "\n"
		env = append(env, "LD_LIBRARY_PATH="+libraries)
	}
	if err := s.postfixFolders(main); err != nil {
		return err
	}
	return s.run(env, master, "-c", filepath.Join(s.dir, "etc"), "-d")
}

// postfixFolders makes what Postfix's own start script would make.
func (s *Server) postfixFolders(main string) error {
	owner, err := uid("postfix", 0)
	if err != nil {
		return err
	}
	for _, sub := range []string{"etc", "queue", "queue/pid", "data"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o755); err != nil {
			return err
		}
	}
	owned := []string{"data"}
	for _, sub := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "private", "public", "saved", "trace"} {
		sub = filepath.Join("queue", sub)
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o700); err != nil {
			return err
		}
		owned = append(owned, sub)
	}
	for _, sub := range owned {
		if err := os.Chown(filepath.Join(s.dir, sub), owner, -1); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "etc/main.cf"), []byte(main), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "etc/master.cf"), fmt.Appendf(nil, masterCF, s.port), 0o644)
}
