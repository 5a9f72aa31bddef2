# SPDX-License-Identifier: Apache-2.0
# Runs the kernel's own get_maintainer.pl for many paths, each for itself, in one process: the script is read, and where it
# would ask for the maintainers of its arguments it is made to do so for each path of standard input in turn. To spare
# time, a pattern is compiled once and not for each path, where a section ends is found once, and the loops that look for
# patterns pass over other lines at once. Nothing else of it is changed; where a place is not found this program fails.
use strict;
use warnings;

my $script = shift @ARGV;
open(my $in, '<', $script) or die "$script: $!";
my $text = do { local $/; <$in> };
close($in);

my $loop = <<'END';
while (my $path = <STDIN>) {
    chomp $path;
    @files = ($path);
    @file_emails = ();
    @keyword_tvi = ();
    print "== $path\n";
    output(merge_email(get_maintainers()));
}
exit(0);
my @maintainers;
END
($text =~ s/^my \@maintainers = get_maintainers\(\);$/$loop/m) == 1 or die "no call";
($text =~ s/if \(\$file =~ m\@\^\$pattern\@\)/if (\$file =~ (\$main::compiled{\$pattern} \/\/= qr{^\$pattern}))/g) == 2 or die "no pattern";
($text =~ s/^(\t\t(?:    )?my \$line = \$typevalue\[\$i\];\n)(?=\t\t(?:    )?if \(\$line =~ m)/$1next if \$line !~ m{^[FNX]:};\n/mg) == 2 or die "no loop";
($text =~ s/^sub find_ending_index \{\n    my \(\$index\) = \@_;\n/sub find_ending_index { my \$at = shift; return \$main::end{\$at} \/\/= find_end(\$at) }\nsub find_end {\n    my (\$index) = \@_;\n/m) == 1 or die "no end";

@ARGV = ('--nogit', '--nogit-fallback', '-f', 'MAINTAINERS');
$0 = $script;
eval $text;
die $@ if $@;
