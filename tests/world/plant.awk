# plant.awk - copies of source files with the bugs of bugs.txt in them, each behind a switch, for
# one test program; nothing of it is in the product. A bug whose text does not stand in its file
# once is an error: the list follows the code.
#
#     awk -v root=SOURCES -v out=FOLDER -f plant.awk bugs.txt
#
# Writes FOLDER/planted_*.c, FOLDER/bugs.inc (the table of names), and prints the copies' names.

function fail(message) {
    print "bugs.txt: " message > "/dev/stderr"
    failed = 1
    exit 1
}

function read_file(path,    line, text) {
    while ((getline line < path) > 0) {
        text = text line "\n"
    }
    close(path)
    if (text == "") {
        fail("cannot read " path)
    }
    return text
}

# Puts the present change into its file. A bug may have several.
function plant(    text, place, rest, with) {
    if (find == "") {
        return
    }
    if (!(file in contents)) {
        contents[file] = read_file(root "/" file)
    }
    text = contents[file]
    place = index(text, find)
    rest = substr(text, place + length(find))
    if (place == 0 || index(rest, find) != 0) {
        fail(name ": its text does not stand in " file " once")
    }
    with = replacement
    gsub(/PLANTED/, "(world_planted == " number ")", with)
    contents[file] = substr(text, 1, place - 1) with rest
    find = replacement = ""
}

/^#/ || /^$/ { next }

/^bug / {
    plant()
    split(substr($0, 5), parts, / \| /)
    name = parts[1]
    file = parts[3]
    number++
    table = table "    {\"" name "\", \"" parts[2] "\"},\n"
    next
}

/^find / { plant(); find = substr($0, 6); is_find = 1; next }
/^with / { replacement = substr($0, 6); is_find = 0; next }
is_find { find = find "\n" $0; next }
{ replacement = replacement "\n" $0 }

END {
    if (failed) {
        exit 1
    }
    plant()
    for (file in contents) {
        copy = file
        gsub(/\//, "_", copy)
        copy = out "/planted_" copy
        printf "extern int world_planted;\n#line 1 \"%s\"\n%s", file, contents[file] > copy
        print copy
    }
    printf "%s", table > (out "/bugs.inc")
}
