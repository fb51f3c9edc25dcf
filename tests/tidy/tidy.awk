# The checks of tidy.sh, for any POSIX awk. Reads every file named on the command line (paths
# relative to the tree's top) and prints one finding a line: rule, path, line, symbol, message,
# separated by tabs. A symbol (a function's name) lets the allow list name one function of a file.

BEGIN {
    OFS = "\t"
    MAX_LINE = 100
    MAX_FILE = 600
    MAX_FUNCTION = 70
    # What may include what: base <- engine <- proto <- {broker, client}; tests may include all.
    may["base"] = " base "
    may["engine"] = " base engine "
    may["proto"] = " base engine proto "
    may["broker"] = " base engine proto broker "
    may["client"] = " base engine proto client sluice "
    may["tests"] = " base engine proto broker client sluice tests "
    # sluice/*.h, the public headers, live in client/include.
    split("base engine proto broker client sluice tests", names, " ")
    for (i in names) {
        is_layer[names[i]] = 1
    }
    os_header = "^((windows|winsock2?|ws2tcpip|mswsock|winternl|winnt|winbase|ntstatus|ntdef" \
        "|aclapi|sddl|bcrypt|psapi|tlhelp32|iphlpapi|afunix|process|io|direct|conio" \
        "|unistd|pthread|poll|fcntl|dlfcn|sched|netdb|ifaddrs|semaphore|spawn|termios|syslog" \
        "|pwd|grp|getopt|strings|dirent|ucontext|liburing|threads|aio|mqueue|execinfo|link)\\.h" \
        "|(sys|netinet|arpa|net|linux|asm|bits)/.*)$"
    os_macro = "(^|[^A-Za-z0-9_])(_WIN32|_WIN64|WIN32|__WIN32__|__MINGW32__|__MINGW64__" \
        "|__CYGWIN__" \
        "|__linux__|__linux|linux|__unix__|__unix|__APPLE__|__FreeBSD__)([^A-Za-z0-9_]|$)"
}

function report(rule, line, symbol, message) {
    print rule, path, line, symbol, message
}

# The files in which the operating system may show: the engine's backends and what is named after an
# OS.
function is_os_file(p) {
    return p ~ /_(win|posix)\.[ch]$/ || p ~ /^engine\/(iocp|epoll|uring)[^\/]*\.[ch]$/
}

function begin_file(    parts, n) {
    path = FILENAME
    sub(/^\.\//, "", path)
    is_c = path ~ /\.[ch]$/
    is_cmake = path ~ /(CMakeLists\.txt|\.cmake)$/
    is_code = is_c || is_cmake || path ~ /(\.sh|\.awk)$/
    n = split(path, parts, "/")
    layer = n > 1 && (parts[1] in is_layer) ? parts[1] : ""
    folder = path
    sub(/\/?[^\/]*$/, "", folder)
    in_comment = in_directive = depth = 0
    head = ""
    function_name = ""
    if (is_c) {
        c_files[++c_count] = path
    }
}

# The line without comments, and without what stands between quotes.
function strip(line,    out, at, two) {
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (at == 0) {
                return out
            }
            line = substr(line, at + 2)
            in_comment = 0
            continue
        }
        if (!match(line, /["'\/]/)) {
            return out line
        }
        out = out substr(line, 1, RSTART - 1)
        line = substr(line, RSTART)
        two = substr(line, 1, 2)
        if (two == "//") {
            return out
        } else if (two == "/*") {
            in_comment = 1
            line = substr(line, 3)
        } else if (match(line, /^"([^"\\]|\\.)*"/) || match(line, /^'([^'\\]|\\.)*'/)) {
            out = out substr(line, 1, 1) substr(line, 1, 1)
            line = substr(line, RLENGTH + 1)
        } else {
            out = out substr(line, 1, 1)
            line = substr(line, 2)
        }
    }
    return out
}

function check_include(line,    target, quoted, first) {
    if (!match(line, /^[ \t]*#[ \t]*include[ \t]*["<][^">]+[">]/)) {
        return
    }
    target = substr(line, RSTART, RLENGTH)
    quoted = target ~ /"$/
    sub(/^[^"<]*["<]/, "", target)
    sub(/[">]$/, "", target)
    includes[++include_count] = target
    include_by[include_count] = path

    if (target ~ os_header && !is_os_file(path)) {
        report("os-header", FNR, "", \
            "<" target "> belongs in an engine backend, a *_win or a *_posix file")
    }
    if (target == "uv.h" && path !~ /^(tests|tools)\// && path !~ /^broker\/(control|main)/) {
        report("os-header", FNR, "", \
            "<uv.h> belongs in the broker's control loop, the tools and the tests")
    }
    if (layer == "") {
        return
    }
    first = target
    sub(/\/.*$/, "", first)
    if (target ~ /\// && (first in is_layer)) {
        if (path ~ /^client\/include\// && first != "sluice") {
            report("include-direction", FNR, "", "a public header includes \"" target "\"")
        } else if (index(may[layer], " " first " ") == 0) {
            report("include-direction", FNR, "", layer " must not include \"" target "\"")
        }
    } else if (quoted && layer != "tests") {
        report("include-direction", FNR, "", \
            "\"" target "\" does not start at the top: \"" layer "/...\"")
    }
}

# Finds functions by their braces; preprocessor lines are not seen here.
function measure_functions(code,    at, c) {
    while (match(code, /[{};]/)) {
        at = RSTART
        c = substr(code, at, 1)
        if (depth == 0) {
            if (head ~ /^[ \t]*$/) {
                head_line = FNR
            }
            head = head substr(code, 1, at - 1)
        }
        code = substr(code, at + 1)
        if (c == "{") {
            if (depth == 0 && head ~ /\)[ \t]*$/ && head !~ /=/) {
                function_name = head
                sub(/[ \t]*\(.*$/, "", function_name)
                sub(/^.*[^A-Za-z0-9_]/, "", function_name)
                function_line = head_line
            }
            depth++
        } else if (c == "}") {
            depth--
            if (depth == 0 && function_name != "") {
                if (FNR - function_line + 1 > MAX_FUNCTION) {
                    report("function-length", function_line, function_name, \
                        function_name "() has " (FNR - function_line + 1) \
                        " lines, at most " MAX_FUNCTION)
                }
                function_name = ""
            }
        }
        if (depth == 0) {
            head = ""
        }
    }
    if (depth == 0) {
        if (head ~ /^[ \t]*$/) {
            head_line = FNR
        }
        head = head code " "
    }
}

function check_c(line,    code, name) {
    if (!in_comment) {
        check_include(line)
    }
    code = strip(line)
    if (in_directive || code ~ /^[ \t]*#/) {
        if (!in_directive) {
            in_condition = code ~ /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)/
        }
        if (in_condition && code ~ os_macro && !is_os_file(path)) {
            report("platform-if", FNR, "", \
                "a platform difference is a file chosen by CMake, not an #if")
        }
        in_directive = line ~ /\\$/
    } else {
        measure_functions(code)
    }
    while (match(code, /[A-Za-z0-9_]*[sS]leep[A-Za-z0-9_]*[ \t]*\(/)) {
        name = substr(code, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", name)
        if (name !~ /^SleepConditionVariable(SRW|CS)$/) { # a wait for an event, despite its name
            report("sleep", FNR, name, name "(): wait for the event itself, with a deadline")
        }
        code = substr(code, RSTART + RLENGTH)
    }
}

# Remembers every file that a CMake file names, and every word in it.
function read_cmake(line,    n, i, words) {
    sub(/#.*/, "", line)
    n = split(line, words, /[ \t"();]+/)
    for (i = 1; i <= n; i++) {
        is_word[words[i]] = 1
        if (words[i] ~ /\.[ch]$/) {
            named[++named_count] = words[i]
            named_in[named_count] = folder
        }
    }
}

# Does the CMake word (perhaps with one ${variable} in it) name the file?
function names_file(word, in_folder, file,    before, after, middle, at, end) {
    sub(/^\$\{(CMAKE_CURRENT_SOURCE_DIR|CMAKE_CURRENT_LIST_DIR)\}\//, "", word)
    if (sub(/^\$\{(PROJECT_SOURCE_DIR|CMAKE_SOURCE_DIR)\}\//, "", word)) {
        in_folder = ""
    }
    while (sub(/^\.\.\//, "", word)) {
        sub(/\/?[^\/]*$/, "", in_folder)
    }
    if (in_folder != "") {
        word = in_folder "/" word
    }
    at = index(word, "${")
    if (at == 0) {
        return word == file
    }
    before = substr(word, 1, at - 1)
    end = index(word, "}")
    after = substr(word, end + 1)
    if (length(file) <= length(before) + length(after) || index(file, before) != 1) {
        return 0
    }
    middle = substr(file, length(before) + 1)
    if (after != "" && substr(middle, length(middle) - length(after) + 1) != after) {
        return 0
    }
    middle = substr(middle, 1, length(middle) - length(after))
    return middle in is_word
}

function find_dead(    i, j, alive) {
    for (i = 1; i <= c_count; i++) {
        path = c_files[i]
        alive = 0
        if (path ~ /\.c$/) {
            for (j = 1; j <= named_count && !alive; j++) {
                alive = names_file(named[j], named_in[j], path)
            }
            if (!alive) {
                report("dead-file", 1, "", "no CMakeLists.txt names this file")
            }
            continue
        }
        for (j = 1; j <= include_count && !alive; j++) {
            if (include_by[j] != path && (path == includes[j] || \
                (length(path) > length(includes[j]) && \
                 substr(path, length(path) - length(includes[j])) == "/" includes[j]))) {
                alive = 1
            }
        }
        if (!alive) {
            report("dead-file", 1, "", "nobody includes this header")
        }
    }
}

FNR == 1 {
    begin_file()
}

{
    lines[path] = FNR
    if ($0 ~ /\r$/) {
        report("whitespace", FNR, "", "carriage return at the end of the line")
        sub(/\r$/, "")
    }
    if ($0 ~ /[ \t]$/) {
        report("whitespace", FNR, "", "blank at the end of the line")
    }
    if ($0 ~ /\t/) {
        report("whitespace", FNR, "", "tab")
    }
    if (is_code && length($0) > MAX_LINE) {
        report("line-length", FNR, "", length($0) " columns, at most " MAX_LINE)
    }
    if (is_c) {
        check_c($0)
    } else if (is_cmake) {
        read_cmake($0)
    }
}

END {
    find_dead()
    for (path in lines) {
        if (path ~ /\.[ch]$/ && lines[path] > MAX_FILE) {
            report("file-length", 1, "", lines[path] " lines, at most " MAX_FILE)
        }
    }
}
