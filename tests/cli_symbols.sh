# Two files that each have a template or inline function of the same name, but not the same code: the linker would keep
# one of them for both.
. tests/tap.sh
objects=$(find "$BUILD" -name '*.o' -not -path "$BUILD/tests/*" -not -path "$BUILD/dist/*" 2>/dev/null)
name="no two functions of one name"
if [ -z "$objects" ]; then
    skip "$name" "the object files are not here"
else
    for object in $objects; do nm -S --defined-only "$object" 2>/dev/null; done |
        awk '$3 ~ /^[WV]$/ {if (($4 in size) && size[$4] != $2) print $4; size[$4] = $2}' | c++filt >"$scratch/twice"
    ok "$name" test ! -s "$scratch/twice"
    sed 's/^/# /' "$scratch/twice"
fi
plan
