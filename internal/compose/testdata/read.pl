#!/usr/bin/perl
# Reads mails with Perl's MIME-tools: read.py in another language, with another reader.
use strict;
use warnings;

use Encode        qw(decode);
use JSON::PP      ();
use Mail::Address ();
use MIME::Base64  qw(decode_base64 encode_base64);
use MIME::Parser  ();

my $parser = MIME::Parser->new;
$parser->output_to_core(1);
$parser->tmp_to_core(1);
$parser->decode_headers(0);
my $json = JSON::PP->new->utf8->canonical;

sub unfolded {
    my ($value) = @_;
    return '' unless defined $value;
    $value =~ s/\r?\n(?=[ \t])//g;
    $value =~ s/[\r\n]+\z//;
    return $value;
}

# decoded reads the encoded-words of a field or a name (RFC 2047 6.2).
sub decoded {
    my ($value) = @_;
    $value =~ s/(=\?[^?\s]+\?[^?\s]\?[^?\s]*\?=)\s+(?==\?[^?\s]+\?[^?\s]\?[^?\s]*\?=)/$1/g;
    my $bytes = '';
    while ($value =~ /\G(?:=\?utf-8\?([bq])\?([^?\s]*)\?=|(.))/gis) {
        if (defined $3) { $bytes .= $3; next }
        my ($kind, $word) = (lc $1, $2);
        if ($kind eq 'b') { $bytes .= decode_base64($word); next }
        $word =~ tr/_/ /;
        $word =~ s/=([0-9A-F]{2})/chr hex $1/gei;
        $bytes .= $word;
    }
    return decode('UTF-8', $bytes);
}

sub addresses {
    my ($value) = @_;
    my @found;
    for my $one (Mail::Address->parse($value)) {
        my $name = $one->phrase;
        $name =~ s/\\(.)/$1/g if $name =~ s/\A"(.*)"\z/$1/s;
        push @found, { Name => decoded($name), Email => $one->address };
    }
    return \@found;
}

sub leaves {
    my ($part, $path) = @_;
    my $kind = $part->mime_type;
    if ($part->is_multipart) {
        (my $inner = $kind) =~ s{\Amultipart/}{};
        return map { leaves($_, [@$path, $inner]) } $part->parts;
    }
    my $head = $part->head;
    my $name = $head->mime_attr('content-disposition.filename');
    my $body = $part->bodyhandle ? $part->bodyhandle->as_string : '';
    # It gives lines as Unix has them, but for what base64 carried octet for octet.
    $body =~ s/\r?\n/\r\n/g if lc($head->mime_encoding) ne 'base64';
    my $disposition = $head->mime_attr('content-disposition');
    return {
        Path        => join('/', @$path),
        Type        => $kind,
        Charset     => $head->mime_attr('content-type.charset') // '',
        Method      => $head->mime_attr('content-type.method') // '',
        Disposition => $disposition // '',
        # MIME-tools writes a name that RFC 2231 encodes as an encoded-word.
        Filename    => defined $name ? decoded($name) : '',
        ContentID   => unfolded($head->get('content-id')),
        Body        => encode_base64($body, ''),
    };
}

while (my $line = <STDIN>) {
    my $entity = $parser->parse_data(decode_base64($line));
    my (@names, @values, %field);
    for my $field (@{ $entity->head->header }) {
        my ($name, $value) = $field =~ /\A([^:]+):[ \t]*(.*)\z/s;
        $value = unfolded($value);
        push @names, $name;
        $field{ lc $name } //= $value;
        push @values, decoded($value) if $name =~ /\AX-/ || $name eq 'References' || $name eq 'Feedback-ID';
    }
    print $json->encode({
        Fields  => \@names,
        Subject => decoded($field{subject} // ''),
        From    => addresses($field{from} // ''),
        To      => addresses($field{to} // ''),
        Cc      => addresses($field{cc} // ''),
        ReplyTo => addresses($field{'reply-to'} // ''),
        Values  => \@values,
        Leaves  => [leaves($entity, [])],
        Defects => [map { "$_" } $parser->results->errors],
    }), "\n";
}
