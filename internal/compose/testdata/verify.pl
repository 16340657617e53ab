#!/usr/bin/perl
# Verifies the rsa-sha256 signatures of mails with Perl's Mail::DKIM, which does not know
# Ed25519. The first line of standard input is JSON with the TXT records, each further one
# a mail in base64; one line of standard output says of each mail what its RSA
# signatures came to.
use strict;
use warnings;

use JSON::PP          ();
use MIME::Base64      qw(decode_base64);
use Mail::DKIM::DNS   ();
use Mail::DKIM::Verifier ();
use Net::DNS          ();

my $records = JSON::PP->new->utf8->decode(scalar <STDIN>);
{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my ($domain, $type) = @_;
        my $value = $type eq 'TXT' ? $records->{$domain} : undef;
        return unless defined $value;
        return Net::DNS::RR->new(owner => $domain, type => 'TXT', txtdata => [ $value =~ /(.{1,255})/gs ]);
    };
}

while (my $line = <STDIN>) {
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT(decode_base64($line));
    $verifier->CLOSE;
    print join(' ', map { $_->result } grep { ($_->algorithm // '') eq 'rsa-sha256' } $verifier->signatures), "\n";
}
