# sites.awk - the places in our machine code that call the system.
#
#     objdump -dl --no-show-raw-insn PROGRAM |
#         awk -v prefix=SOURCE-TREE/ -v kind=KIND -v known="FILE:LINE:CALL ..." -f sites.awk
#
# KIND: calls, or memory: of those that ask for memory only.
# Output: "anchor ADDRESS" of fault_load, then a line a place: "site RETURN-ADDRESS LINE
# FILE:FUNCTION:CALL CALL". A call is a direct one to __wrap_NAME, or an indirect one behind the
# load of a pointer: __imp_NAME on Windows, a member of engine_epoll_calls on Linux; or one in a
# line of `known`: by a member of an allocator, or of the Windows engine. The files must
# be compiled without optimisation (CMakeLists.txt): every call then is one load and one call, and
# none is a jump. What a function does twice is numbered by its lines.

BEGIN {
    places = split(known, place, " ")
    for (i = 1; i <= places; i++) {
        split(place[i], part, ":")
        known_call[part[1] ":" part[2]] = part[3]
    }
}

# "/tree/engine/epoll.c:193 (discriminator 2)"
$1 ~ /^[A-Za-z]?:?\/.*:[0-9]+$/ && NF <= 3 {
    where = $1
    number = where
    sub(/:[0-9]+$/, "", where)
    sub(/.*:/, "", number)
    gsub(/\\/, "/", where)
    while (sub(/[^\/]+\/\.\.\//, "", where)) { }
    is_ours = substr(where, 1, length(prefix)) == prefix
    file = is_ours ? substr(where, length(prefix) + 1) : ""
    # A compiler cache may give us what was compiled in another tree, with that tree's name.
    if (!is_ours && match(where, /\/(base|engine|proto|client|broker)\/[^\/]+\.c$/)) {
        is_ours = 1
        file = substr(where, RSTART + 1)
    }
    is_ours = is_ours && file ~ /^(base|engine|proto|client|broker)\// &&
              file != "engine/epoll_status.c"
    next
}

# "receive():"
/^[A-Za-z_][A-Za-z0-9_]*\(\):$/ {
    inner = $1
    sub(/\(.*/, "", inner)
    next
}

# "0000000000001234 <flush>:"
/^[0-9a-f]+ <[^>]*>:$/ {
    if ($2 == "<fault_load>:") {
        print "anchor " $1
    }
    pending = ""
    called = ""
    is_ours = 0 # until a line says so: a library's function may have no line of its own
    next
}

/^ *[0-9a-f]+:\t/ {
    address = $1
    sub(/:$/, "", address)
    if (called != "") {
        print "site " address " " called
        called = ""
    }
    if (!is_ours) {
        next
    }
    if (match($0, /<(__imp_[^>]*|engine_epoll_calls(\+0x[0-9a-f]+)?)>/)) {
        pending = substr($0, RSTART + 1, RLENGTH - 2)
    }
    if ($2 !~ /^call/) {
        next
    }
    what = ""
    if (match($0, /<__wrap_[^>]*>/)) {
        what = substr($0, RSTART + 8, RLENGTH - 9)
    } else if ($0 ~ /call[q]? +\*/ && pending != "") {
        what = pending
        pending = ""
    } else if ($0 ~ /call[q]? +\*/ && (file ":" number) in known_call) {
        what = known_call[file ":" number]
    }
    if (what != "") {
        sub(/^__imp_/, "", what)
        if ((what ~ /^(sl_account_alloc|acquire)$/) != (kind == "memory")) {
            next
        }
        if (what == "engine_epoll_calls") {
            what = "engine_epoll_calls+0x0"
        }
        key = file ":" inner ":" what
        if (!((key, number) in ordinal)) {
            ordinal[key, number] = ++count[key]
        }
        called = number " " key (ordinal[key, number] > 1 ? "#" ordinal[key, number] : "") " " what
    }
}
