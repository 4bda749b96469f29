#!/bin/sh
# Installs the Debian/Ubuntu packages that are missing, or prints the one line that does.
set -u
missing=
need() { # need PACKAGE TEST...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
header() { echo "#include <$1>" | ${CC:-cc} -E - ; }
arch=$(${CC:-cc} -print-multiarch 2>/dev/null || uname -m)
need build-essential command -v ${CC:-cc}
need libcsv-dev header csv.h
need libjansson-dev header jansson.h
need libopenblas-openmp-dev test -e /usr/lib/$arch/openblas-openmp/libopenblas.so
need libcmocka-dev sh -c 'printf "#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <cmocka.h>\n" | ${CC:-cc} -E -'
need libmd4c-html0-dev header md4c-html.h
need gnuplot-nox command -v gnuplot
[ -n "$missing" ] || exit 0

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
line="apt-get update && $sudo apt-get install -y$missing"
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "installing$missing"
    $sudo apt-get -qq update >/dev/null && DEBIAN_FRONTEND=noninteractive \
        $sudo apt-get -qq install -y $missing >/dev/null && exit 0
fi
echo "blroof needs packages that are not here; please run:" >&2
echo "  ${sudo:+sudo }$line" >&2
exit 4
